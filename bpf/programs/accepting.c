// SPDX-License-Identifier: GPL-2.0
/*
 * Which process serves a connection that was accepted.
 *
 * Hooks: the root cgroup's for the name of a peer, which accept() asks for when it is given room for an address, and
 * getpeername(); and the tracepoint tcp_rcv_space_adjust, a process reads, which user space attaches only once a
 * connection was read from that nobody had asked about: it costs time at every read of every connection.
 * State: `connections`.
 */

/* Bytes that a process has read. A FIN has a number like a byte in both counters, and is none. */
static __always_inline bool was_read(void *tcp)
{
	u32 unread = AT(u32, tcp, FIELD_RECEIVE_NEXT) - AT(u32, tcp, FIELD_COPIED);

	return AT(u64, tcp, FIELD_BYTES_RECEIVED) > unread + ((AT(u64, tcp, FIELD_FLAGS) >> SOCK_DONE) & 1);
}

static __always_inline bool is_unnamed(struct connection *of)
{
	return !of->pid && of->origin == ORIGIN_SYN;
}

/* Say that reads should be watched, by a connection that they would have named. */
static __always_inline void note_unnamed(struct connection *of, void *tcp)
{
	if (is_unnamed(of) && was_read(tcp))
		count(COUNT_UNNAMED);
}

/* The process that runs now is taken for the one that accepted, if no other was before. */
static __always_inline void name(u64 key)
{
	struct connection *of = find(key);

	if (of && is_unnamed(of))
		name_process(&of->pid, &of->process_start_ns, &of->cgroup);
}

/* tracepoint tcp_rcv_space_adjust(sk): a process reads */
int on_read(u64 *context)
{
	name(as_number((void *)context[0]));
	return 0;
}

/* a process asks who the peer of a socket is; one that was handed the connection by the one that accepted it asks later */
int on_peer(struct bpf_sock_addr *context)
{
	void *pointer = context->sk;
	struct connection *of;
	u64 key;

	if (!pointer)
		return 1;
	key = as_number(pointer);
	of = find(key);
	if (of && of->role == ROLE_SERVER && of->origin == ORIGIN_SYN)
		name_process(&of->pid, &of->process_start_ns, &of->cgroup);
	return 1; /* let it be told */
}
