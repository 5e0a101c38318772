// SPDX-License-Identifier: GPL-2.0
/*
 * TCP connections and UDP pairs of every network namespace of the host.
 *
 * Hooks: the tracepoint inet_sock_set_state (opened, failed, closed), the first read of a connection (who accepted it),
 * an iterator over all TCP sockets (what lives), and the packets that UDP sockets of the root cgroup send and receive.
 * No hook runs for each segment of TCP: the kernel's own counters are read when a connection closes and at every read.
 * Kernels can be built without kprobes and without trampolines; none is used.
 *
 * State: `connections`, by socket, from SYN to CLOSE. `closed` takes one record a connection; when it is full the
 * connection is added to `pairs`. `pairs` and `datagrams` are keyed by a phase: the reader turns it, waits for a grace
 * period, and then owns what the last phase holds, so that no addition is lost or counted twice.
 *
 * Limits: every table is bounded; what does not fit is counted. Offsets (FIELD_*) come from the running kernel's BTF,
 * and as the pointers are typed, the verifier checks each access against the same BTF.
 */
#include "flow_event.h"

#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_FIN_WAIT1 4
#define TCP_FIN_WAIT2 5
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define TCP_LAST_ACK 9
#define TCP_CLOSING 11
#define TCP_LISTEN 10
#define SOCK_BINDPORT_LOCK 8
#define SOCK_DONE 1
#define UDP_HEADER_BYTES 8
#define IPV6_HEADER_BYTES 40
#define MINIMAL_HEADER_BYTES 20
#define MAPPED_PREFIX 0xffff0000ULL /* as it lies in memory, before the address */

#define AT(type, pointer, offset) (*(type *)((void *)(pointer) + (offset)))

BPF_HASH(connections, u64, struct connection, MAX_CONNECTIONS);
BPF_HASH(listeners, struct listener_key, u8, MAX_LISTENERS);
BPF_HASH(pairs, struct pair_key, struct flow_event, MAX_PAIRS);
BPF_HASH(datagrams, struct datagram_key, struct flow_event, MAX_DATAGRAMS);
BPF_TABLE("lru_hash", struct process_key, u8, processes, MAX_PROCESSES);
BPF_RINGBUF_OUTPUT(closed, CLOSED_PAGES);
BPF_RINGBUF_OUTPUT(seen, SEEN_PAGES);
BPF_PERCPU_ARRAY(counters, u64, COUNTERS);
BPF_ARRAY(phase, u32, 1);

static __always_inline void count(int what)
{
	u64 *value = counters.lookup(&what);

	if (value)
		*value += 1;
}

static __always_inline u32 current_phase(void)
{
	int first = 0;
	u32 *value = phase.lookup(&first);

	return value ? *value : 0;
}

static __always_inline u32 netns_of(void *sk)
{
	void *net = AT(void *, sk, FIELD_NET);

	return AT(u32, net, FIELD_NETNS);
}

static __always_inline void mapped(u64 *address, u32 ipv4)
{
	address[0] = 0;
	address[1] = MAPPED_PREFIX | ((u64)ipv4 << 32);
}

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

static __always_inline u64 read_word(void *at)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), at);
	return value;
}

static __always_inline void tell_process(struct process_key *key, void *task, u64 cgroup)
{
	struct process_event *event;
	void *mm;
	u64 begin, size;
	u8 yes = 1;

	if (processes.lookup(key))
		return;
	event = seen.ringbuf_reserve(sizeof(*event));
	if (!event) {
		count(COUNT_LOST_PROCESSES);
		return;
	}
	event->pid = key->pid;
	event->start_ns = key->start_ns;
	event->cgroup = cgroup;
	event->environ_bytes = 0;
	bpf_probe_read_kernel(event->comm, COMM_BYTES, task + FIELD_COMM);
	mm = (void *)read_word(task + FIELD_MM);
	begin = read_word(mm + FIELD_ENV_START);
	size = read_word(mm + FIELD_ENV_END) - begin;
	if (size > ENVIRON_BYTES)
		size = ENVIRON_BYTES;
	if (mm && size > 0 && !bpf_probe_read_user(event->environ, size, (void *)begin))
		event->environ_bytes = size;
	seen.ringbuf_submit(event, 0);
	processes.update(key, &yes);
}

static __always_inline void *read_key(struct process_key *key)
{
	void *leader = (void *)read_word((void *)bpf_get_current_task() + FIELD_LEADER);

	key->start_ns = read_word(leader + FIELD_START);
	bpf_probe_read_kernel(&key->pid, sizeof(key->pid), leader + FIELD_PID);
	return leader;
}

/* The process that runs now, which must be the one that opens, reads, closes or sends: not in softirq. */
static __always_inline void read_process(u32 *pid, u64 *start_ns, u64 *cgroup)
{
	struct process_key key = {};
	void *leader = read_key(&key), *of;

	of = (void *)read_word((void *)read_word(leader + FIELD_CGROUPS) + FIELD_CGROUP);
	*cgroup = read_word((void *)read_word(of + FIELD_CGROUP_NODE) + FIELD_NODE_ID);
	*start_ns = key.start_ns;
	*pid = key.pid;
	if (key.pid && key.pid != OWN_PID)
		tell_process(&key, leader, *cgroup);
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
static __always_inline u64 bytes_sent(struct connection *of, void *tcp)
{
	u32 next = AT(u32, tcp, FIELD_SEND_NEXT), on_way = next - AT(u32, tcp, FIELD_SEND_UNACKNOWLEDGED);
	bool syn = of->role == ROLE_CLIENT && of->origin == ORIGIN_SYN;
	bool fin = of->has_fin && next == AT(u32, tcp, FIELD_WRITE_NEXT);

	return of->established ? AT(u64, tcp, FIELD_BYTES_ACKNOWLEDGED) + on_way - syn - fin : 0;
}

/* A connection's counters less what has been told of them; what is returned has been told. */
static __always_inline void tell(struct connection *of, struct flow_event *event, void *tcp)
{
	u64 out = bytes_sent(of, tcp), in = bytes_received(tcp);
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
static __always_inline void sum_up(struct flow_event *event)
{
	struct pair_key key = {};
	bool is_client = event->role != ROLE_SERVER;
	struct flow_event *sum;

	__builtin_memcpy(key.client_address, is_client ? event->local_address : event->remote_address, 16);
	__builtin_memcpy(key.server_address, is_client ? event->remote_address : event->local_address, 16);
	key.server_port = is_client ? event->remote_port : event->local_port;
	key.phase = current_phase();
	key.netns = event->netns;
	key.pid = event->pid;
	key.role = event->role;
	key.origin = event->origin;
	if (is_client)
		event->local_port = 0;
	else
		event->remote_port = 0;
	count(COUNT_SUMMED);
	if (!pairs.insert(&key, event))
		return;
	sum = pairs.lookup(&key);
	if (sum)
		add(sum, event);
	else
		count(COUNT_LOST_FLOWS);
}

static __always_inline void opened(void *sk, u64 key, bool is_client)
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

		read_process(&new.pid, &new.process_start_ns, &new.cgroup);
		if (new.pid == OWN_PID)
			return;
		if (tcp) /* a socket that failed to connect keeps counting when it tries again */
			new.told_retransmits = AT(u32, tcp, FIELD_RETRANSMITS);
	}
	count(COUNT_OPENED);
	if (connections.update(&key, &new))
		count(COUNT_LOST_CONNECTIONS);
}

static __always_inline void finished(void *sk, u64 key)
{
	struct connection *of = connections.lookup(&key);
	void *tcp = bpf_skc_to_tcp_sock(sk);
	struct flow_event event = {}, *room;

	if (!of || !tcp)
		return;
	count(COUNT_CLOSED);
	if (!of->local_port)
		of->local_port = AT(u16, sk, FIELD_LOCAL_PORT);
	describe(of, &event);
	tell(of, &event, tcp);
	event.failed = !of->established;
	connections.delete(&key);
	room = closed.ringbuf_reserve(sizeof(event));
	if (!room) {
		sum_up(&event);
		return;
	}
	__builtin_memcpy(room, &event, sizeof(event));
	closed.ringbuf_submit(room, BPF_RB_NO_WAKEUP);
}

/* tracepoint inet_sock_set_state(sk, old, new) */
int on_state(u64 *context)
{
	void *sk = (void *)context[0];
	int old = context[1], new = context[2];
	u64 key = context[0];
	struct connection *of;

	if (AT(u16, sk, FIELD_PROTOCOL) != IPPROTO_TCP)
		return 0;
	count(COUNT_STATES);
	if (new == TCP_SYN_SENT) {
		opened(sk, key, true);
	} else if (new == TCP_ESTABLISHED) {
		of = connections.lookup(&key);
		if (of) {
			read_ends(sk, of);
			of->established = 1;
		} else if (old == TCP_SYN_RECV) {
			opened(sk, key, false);
		}
	} else if (new == TCP_CLOSE && old != TCP_LISTEN) {
		finished(sk, key);
	} else if (new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK) {
		of = connections.lookup(&key);
		if (of)
			of->has_fin = 1;
		/* Only close() and shutdown() lead here: whoever accepted and never read. */
		if (of && !of->pid && of->origin == ORIGIN_SYN)
			read_process(&of->pid, &of->process_start_ns, &of->cgroup);
	}
	return 0;
}

/* tracepoint tcp_rcv_space_adjust(sk): a process reads; the first that does is taken for the one that accepted */
int on_read(u64 *context)
{
	u64 key = context[0];
	struct connection *of = connections.lookup(&key);

	if (of && !of->pid && of->origin == ORIGIN_SYN)
		read_process(&of->pid, &of->process_start_ns, &of->cgroup);
	return 0;
}

/* tracepoint sched_process_exec(task, old_pid, bprm): the same process is another program now */
int on_exec(u64 *context)
{
	struct process_key key = {};

	read_key(&key);
	processes.delete(&key);
	return 0;
}

static __always_inline u64 inode_of(void *sk)
{
	u64 inode = 0;
	void *socket = AT(void *, sk, FIELD_SOCKET);

	if (socket)
		bpf_probe_read_kernel(&inode, sizeof(inode), socket + FIELD_INODE);
	return inode;
}

/* Whether the local end has closed its direction, so that a FIN is the last that it has to send. */
static __always_inline bool has_fin(u8 state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK;
}

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
	new.has_fin = has_fin(state);
	new.told_out = bytes_sent(&new, tcp);
	new.told_in = bytes_received(tcp);
	new.told_retransmits = AT(u32, tcp, FIELD_RETRANSMITS);
	count(COUNT_FOUND);
	if (connections.insert(&key, &new))
		count(COUNT_LOST_CONNECTIONS);
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
	u64 key = context[1];
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
	of = connections.lookup(&key);
	if (!of) {
		found(tcp, key, tcp, state);
		return 0;
	}
	if (!of->established)
		return 0;
	describe(of, &event);
	tell(of, &event, tcp);
	event.alive = 1;
	if (!of->pid && !of->inode)
		event.inode = of->inode = inode_of(tcp);
	if (event.connections || event.bytes_out || event.bytes_in || event.retransmits)
		bpf_seq_write(seq, &event, sizeof(event));
	return 0;
}

/* One datagram of a socket; `out`: the socket sends it, and the process that does so is the one that runs. */
static __always_inline void datagram(void *sk, struct datagram_key *key, u64 bytes, bool out)
{
	struct flow_event *sum, new = {};
	u8 locks = 0;

	bpf_probe_read_kernel(&key->netns, sizeof(key->netns), (void *)read_word(sk + FIELD_NET) + FIELD_NETNS);
	key->phase = current_phase();
	count(COUNT_DATAGRAMS);
	sum = datagrams.lookup(key);
	if (sum) {
		__sync_fetch_and_add(out ? &sum->bytes_out : &sum->bytes_in, bytes);
		if (out && !sum->pid)
			read_process(&sum->pid, &sum->process_start_ns, &sum->cgroup);
		return;
	}
	__builtin_memcpy(new.local_address, key->local_address, sizeof(new.local_address));
	__builtin_memcpy(new.remote_address, key->remote_address, sizeof(new.remote_address));
	new.local_port = key->local_port;
	new.remote_port = key->remote_port;
	new.opened_ns = new.at_ns = bpf_ktime_get_ns();
	new.netns = key->netns;
	new.transport = IPPROTO_UDP;
	new.bytes_out = out ? bytes : 0;
	new.bytes_in = out ? 0 : bytes;
	/* A socket that was bound to a port on purpose and is asked first serves; one that was given any port asks. */
	bpf_probe_read_kernel(&locks, sizeof(locks), sk + FIELD_LOCKS);
	if (!(locks & SOCK_BINDPORT_LOCK) && out)
		new.role = ROLE_CLIENT;
	else if ((locks & SOCK_BINDPORT_LOCK) && !out)
		new.role = ROLE_SERVER;
	if (out)
		read_process(&new.pid, &new.process_start_ns, &new.cgroup);
	if (!datagrams.insert(key, &new))
		return;
	sum = datagrams.lookup(key);
	if (sum)
		__sync_fetch_and_add(out ? &sum->bytes_out : &sum->bytes_in, bytes);
	else
		count(COUNT_LOST_DATAGRAMS);
}

/* The bytes of the IP header that a packet begins with, when a UDP header follows; else 0. */
static __always_inline u32 header_bytes(struct __sk_buff *skb)
{
	u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + MINIMAL_HEADER_BYTES > end)
		return 0;
	if (data[0] >> 4 == 4)
		return data[9] == IPPROTO_UDP ? (data[0] & 15) * 4 : 0;
	return data[6] == IPPROTO_UDP ? IPV6_HEADER_BYTES : 0;
}

/* The ends of a packet; return the bytes from its UDP header on, or 0. */
static __always_inline u32 read_packet(struct __sk_buff *skb, u32 header, struct datagram_key *key, bool out)
{
	u64 *source = out ? key->local_address : key->remote_address;
	u64 *target = out ? key->remote_address : key->local_address;
	u32 ipv4[2] = {};
	u16 ports[2] = {};

	if (header != IPV6_HEADER_BYTES || skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 12, ipv4, sizeof(ipv4)))
			return 0;
		mapped(source, ipv4[0]);
		mapped(target, ipv4[1]);
	} else if (bpf_skb_load_bytes(skb, 8, source, 16) || bpf_skb_load_bytes(skb, 24, target, 16)) {
		return 0;
	}
	if (bpf_skb_load_bytes(skb, header, ports, sizeof(ports)))
		return 0;
	key->local_port = bpf_ntohs(ports[out ? 0 : 1]);
	key->remote_port = bpf_ntohs(ports[out ? 1 : 0]);
	return skb->len - header;
}

static __always_inline int on_packet(struct __sk_buff *skb, bool out)
{
	u32 header = header_bytes(skb), bytes;
	struct datagram_key key = {};
	void *pointer, *sk;

	if (!header)
		return 1;
	pointer = skb->sk;
	if (!pointer)
		return 1;
	sk = (void *)read_word(&pointer); /* as a number: more is read of it than the verifier lets packets see */
	bytes = read_packet(skb, header, &key, out);
	if (bytes >= UDP_HEADER_BYTES)
		datagram(sk, &key, bytes - UDP_HEADER_BYTES, out);
	return 1; /* pass it on */
}

/* what sockets of the root cgroup, and so of all, send */
int on_send(struct __sk_buff *skb)
{
	return on_packet(skb, true);
}

/* and what arrives for them */
int on_arrival(struct __sk_buff *skb)
{
	return on_packet(skb, false);
}
