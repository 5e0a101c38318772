// SPDX-License-Identifier: GPL-2.0
/*
 * TCP connections from SYN to CLOSE.
 *
 * Hook: the tracepoint inet_sock_set_state (opened, failed, closed). To call a program at all costs more than what most of
 * its calls do, so that those which say nothing new are left at once, and no map is asked twice.
 * State: `connections`; what closes goes to `closed`, or to `pairs` when that is full.
 */

/* The two ends as the socket has them now; those of a failed connect may be gone later. */
static __always_inline void read_ends(void *sk, struct connection *to)
{
	if (AT(u16, sk, FIELD_FAMILY) == AF_INET) {
		mapped(to->local_address, AT(u32, sk, FIELD_LOCAL4));
		mapped(to->remote_address, AT(u32, sk, FIELD_REMOTE4));
	} else {
		to->local_address[0] = AT(u64, sk, FIELD_LOCAL6);
		to->local_address[1] = AT(u64, sk, FIELD_LOCAL6 + 8);
		to->remote_address[0] = AT(u64, sk, FIELD_REMOTE6);
		to->remote_address[1] = AT(u64, sk, FIELD_REMOTE6 + 8);
	}
	to->local_port = AT(u16, sk, FIELD_LOCAL_PORT);
	to->remote_port = bpf_ntohs(AT(u16, sk, FIELD_REMOTE_PORT));
}

/* Whether the local end has closed its direction, so that a FIN is the last that it has to send. */
static __always_inline bool has_fin(int state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK;
}

/* Bytes that arrived in order. The kernel counts the peer's FIN as one of them, and notes that it came in SOCK_DONE. */
static __always_inline u64 bytes_received(void *tcp)
{
	return AT(u64, tcp, FIELD_BYTES_RECEIVED) - ((AT(u64, tcp, FIELD_FLAGS) >> SOCK_DONE) & 1);
}

/*
 * Bytes that were sent, each once however often: what is acknowledged and what is on its way. (The counter bytes_sent
 * grows again when the device refuses a segment.) SYN and FIN have numbers like bytes, and are none.
 */
static __always_inline u64 bytes_sent(struct connection *of, void *tcp, bool fin)
{
	u32 next = AT(u32, tcp, FIELD_SEND_NEXT), on_way = next - AT(u32, tcp, FIELD_SEND_UNACKNOWLEDGED);
	bool syn = of->role == ROLE_CLIENT && of->origin == ORIGIN_SYN;

	fin = fin && next == AT(u32, tcp, FIELD_WRITE_NEXT);
	return of->established ? AT(u64, tcp, FIELD_BYTES_ACKNOWLEDGED) + on_way - syn - fin : 0;
}

/* A connection's counters less what has been told of them; what is returned has been told. */
static __always_inline void tell(struct connection *of, struct flow_event *event, void *tcp, bool fin)
{
	u64 out = bytes_sent(of, tcp, fin), in = bytes_received(tcp);
	u32 retransmits = AT(u32, tcp, FIELD_RETRANSMITS), rtt = AT(u32, tcp, FIELD_RTT);

	event->bytes_out = out - of->told_out;
	event->bytes_in = in - of->told_in;
	event->retransmits = retransmits - of->told_retransmits;
	event->connections = of->established && !of->told;
	event->failed = 0;
	event->rtt_us_sum = rtt >> 3; /* kept by the kernel in eighths */
	event->rtt_count = rtt > 0;
	of->told_out = out;
	of->told_in = in;
	of->told_retransmits = retransmits;
	of->told = of->established;
}

static __always_inline void describe(struct connection *of, struct flow_event *event)
{
	__builtin_memcpy(event->local_address, of->local_address, sizeof(of->local_address));
	__builtin_memcpy(event->remote_address, of->remote_address, sizeof(of->remote_address));
	event->opened_ns = of->opened_ns;
	event->at_ns = bpf_ktime_get_ns();
	event->process_start_ns = of->process_start_ns;
	event->cgroup = of->cgroup;
	event->inode = of->inode;
	event->netns = of->netns;
	event->pid = of->pid;
	event->local_port = of->local_port;
	event->remote_port = of->remote_port;
	event->role = of->role;
	event->origin = of->origin;
	event->transport = IPPROTO_TCP;
	event->alive = 0;
}

static __always_inline void add(struct flow_event *to, struct flow_event *event)
{
	__sync_fetch_and_add(&to->bytes_out, event->bytes_out);
	__sync_fetch_and_add(&to->bytes_in, event->bytes_in);
	__sync_fetch_and_add(&to->rtt_us_sum, event->rtt_us_sum);
	__sync_fetch_and_add(&to->rtt_count, event->rtt_count);
	__sync_fetch_and_add(&to->retransmits, event->retransmits);
	__sync_fetch_and_add(&to->connections, event->connections);
	__sync_fetch_and_add(&to->failed, event->failed);
}

/* Too many to tell each: the connection becomes part of its pair's sum. */
static __always_inline void sum_up(struct connection *of, void *tcp, bool fin)
{
	bool is_client = of->role != ROLE_SERVER;
	struct flow_event event, *sum;
	struct pair_key key = {};

	__builtin_memcpy(key.client_address, is_client ? of->local_address : of->remote_address, 16);
	__builtin_memcpy(key.server_address, is_client ? of->remote_address : of->local_address, 16);
	key.server_port = is_client ? of->remote_port : of->local_port;
	key.phase = current_phase();
	key.netns = of->netns;
	key.pid = of->pid;
	key.role = of->role;
	key.origin = of->origin;
	count(COUNT_SUMMED);
	tell(of, &event, tcp, fin);
	event.failed = !of->established;
	sum = pairs.lookup(&key);
	if (!sum) {
		describe(of, &event);
		if (is_client)
			event.local_port = 0;
		else
			event.remote_port = 0;
		if (!pairs.insert(&key, &event))
			return;
		sum = pairs.lookup(&key); /* another CPU was faster, or there is no room */
	}
	if (sum)
		add(sum, &event);
	else
		count(COUNT_LOST_FLOWS);
}

/* `of`: what is kept under the socket's address, which none but a change that was missed can have left. */
static __always_inline void opened(void *sk, u64 key, struct connection *of, bool is_client)
{
	struct connection new = {};

	read_ends(sk, &new);
	new.opened_ns = bpf_ktime_get_ns();
	new.netns = netns_of(sk);
	new.role = is_client ? ROLE_CLIENT : ROLE_SERVER;
	new.origin = ORIGIN_SYN;
	new.established = !is_client;
	if (is_client) {
		void *tcp = bpf_skc_to_tcp_sock(sk);

		name_process(&new.pid, &new.process_start_ns, &new.cgroup);
		if (new.pid == OWN_PID)
			return;
		if (tcp) /* a socket that failed to connect keeps counting when it tries again */
			new.told_retransmits = AT(u32, tcp, FIELD_RETRANSMITS);
	}
	count(COUNT_OPENED);
	if (of)
		*of = new;
	else
		keep(key, &new);
}

static __always_inline void finished(void *sk, u64 key, bool fin)
{
	u32 place = place_of(key);
	struct connection *of = connection_at(place);
	void *tcp = bpf_skc_to_tcp_sock(sk);
	struct flow_event *room;

	if (!of || !tcp)
		return;
	count(COUNT_CLOSED);
	if (!of->local_port)
		of->local_port = AT(u16, sk, FIELD_LOCAL_PORT);
	note_unnamed(of, tcp);
	room = closed.ringbuf_reserve(sizeof(*room));
	if (room) {
		describe(of, room);
		tell(of, room, tcp, fin);
		room->failed = !of->established;
		closed.ringbuf_submit(room, BPF_RB_NO_WAKEUP);
	} else {
		sum_up(of, tcp, fin);
	}
	free_place(place);
}

static __always_inline void established(void *sk, u64 key, int old)
{
	struct connection *of = find(key);

	if (of) {
		read_ends(sk, of);
		of->established = 1;
	} else if (old == TCP_SYN_RECV) {
		opened(sk, key, 0, false);
	}
}

/* tracepoint inet_sock_set_state(sk, old, new) */
int on_state(u64 *context)
{
	void *sk = (void *)context[0];
	int old = context[1], new = context[2];
	u64 key;

	if (!(STATES_THAT_MATTER >> new & 1) || AT(u16, sk, FIELD_PROTOCOL) != IPPROTO_TCP)
		return 0;
	key = as_number(sk);
	if (new == TCP_SYN_SENT)
		opened(sk, key, find(key), true);
	else if (new == TCP_ESTABLISHED)
		established(sk, key, old);
	else if (new == TCP_CLOSE && old != TCP_LISTEN)
		finished(sk, key, has_fin(old));
	else if (new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK)
		name(key); /* only close() and shutdown() lead here: whoever accepted and never read */
	return 0;
}
