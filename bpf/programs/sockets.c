// SPDX-License-Identifier: GPL-2.0
/*
 * TCP sockets that live: what they did since the last look, which were open before, who listens.
 *
 * Hook: an iterator over the sockets of one network namespace; each is locked while it is looked at.
 * State: `connections`, `listeners`.
 */

/* A connection that was open before it was watched: only what comes from now on counts. */
static __always_inline void found(void *sk, u64 key, void *tcp, u8 state)
{
	struct connection new = {};
	struct listener_key listener = {};

	read_ends(sk, &new);
	new.netns = netns_of(sk);
	new.inode = inode_of(sk);
	new.established = new.told = 1;
	listener.netns = new.netns;
	listener.port = new.local_port;
	new.role = listeners.lookup(&listener) ? ROLE_SERVER : ROLE_CLIENT;
	new.origin = ORIGIN_PORT;
	new.told_out = bytes_sent(&new, tcp, has_fin(state));
	new.told_in = bytes_received(tcp);
	new.told_retransmits = AT(u32, tcp, FIELD_RETRANSMITS);
	count(COUNT_FOUND);
	keep(key, &new);
}

/* Not TIME_WAIT and requests, which are no full sockets, nor what is not connected yet or not any more. */
static __always_inline bool is_open(u8 state)
{
	return state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT || state == TCP_LISTEN || has_fin(state);
}

static __always_inline void tell_listener(void *seq, void *sk)
{
	struct connection ends = {};
	struct flow_event event = {};
	struct listener_key listener = {};
	u8 yes = 1;

	read_ends(sk, &ends);
	ends.netns = netns_of(sk);
	ends.inode = inode_of(sk);
	ends.role = ROLE_LISTENER;
	describe(&ends, &event);
	event.remote_port = 0;
	event.alive = 1;
	event.failed = AT(u16, sk, FIELD_FAMILY) == AF_INET6 && !(AT(u8, sk, FIELD_IPV6_ONLY) & (1 << BIT_IPV6_ONLY));
	listener.netns = ends.netns;
	listener.port = ends.local_port;
	listeners.update(&listener, &yes);
	bpf_seq_write(seq, &event, sizeof(event));
}

/* iterator over the TCP sockets of one network namespace: struct bpf_iter__tcp {meta, sk_common, uid} */
int on_socket(u64 *context)
{
	void *meta = (void *)context[0], *sk_common = (void *)context[1], *seq, *tcp;
	struct connection *of;
	struct flow_event event = {};
	u64 key;
	u8 state;

	if (!sk_common)
		return 0;
	state = AT(u8, sk_common, FIELD_STATE);
	if (!is_open(state))
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk_common);
	if (!tcp)
		return 0;
	seq = AT(void *, meta, 0);
	if (state == TCP_LISTEN) {
		tell_listener(seq, tcp);
		return 0;
	}
	key = as_number(sk_common);
	of = find(key);
	if (!of) {
		found(tcp, key, tcp, state);
		return 0;
	}
	if (!of->established)
		return 0;
	describe(of, &event);
	tell(of, &event, tcp, has_fin(state));
	event.alive = 1;
	note_unnamed(of, tcp);
	if (!of->pid && !of->inode)
		event.inode = of->inode = inode_of(tcp);
	if (event.connections || event.bytes_out || event.bytes_in || event.retransmits)
		bpf_seq_write(seq, &event, sizeof(event));
	return 0;
}
