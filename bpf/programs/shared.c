// SPDX-License-Identifier: GPL-2.0
/*
 * TCP connections and UDP pairs of every network namespace of the host.
 *
 * Hooks: the tracepoint inet_sock_set_state (opened, failed, closed), the first read of a connection (who accepted it),
 * an iterator over all TCP sockets (what lives), and the packets that UDP sockets of the root cgroup send and receive.
 * No hook runs for each segment of TCP: the kernel's own counters are read when a connection closes and at every read.
 * Kernels can be built without kprobes and without trampolines; none is used.
 *
 * State: `connections`, by socket (places.c), from SYN to CLOSE. `closed` takes one record a connection; when it is full the
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
#define STATES_THAT_MATTER \
	(1 << TCP_SYN_SENT | 1 << TCP_ESTABLISHED | 1 << TCP_FIN_WAIT1 | 1 << TCP_LAST_ACK | 1 << TCP_CLOSE)
#define SOCK_BINDPORT_LOCK 8
#define SOCK_DONE 1
#define UDP_HEADER_BYTES 8
#define IPV6_HEADER_BYTES 40
#define MINIMAL_HEADER_BYTES 20
#define MAX_RECENT 1024
#define MAPPED_PREFIX 0xffff0000ULL /* as it lies in memory, before the address */

#define AT(type, pointer, offset) (*(type *)((void *)(pointer) + (offset)))

BPF_ARRAY(rows, struct row, MAX_CONNECTIONS / PLACES);
BPF_ARRAY(connections, struct connection, MAX_CONNECTIONS);
BPF_HASH(listeners, struct listener_key, u8, MAX_LISTENERS);
BPF_HASH(pairs, struct pair_key, struct flow_event, MAX_PAIRS);
BPF_HASH(datagrams, struct datagram_key, struct flow_event, MAX_DATAGRAMS);
BPF_TABLE("lru_hash", struct process_key, u8, processes, MAX_PROCESSES);
BPF_ARRAY(recent, struct process_key, MAX_RECENT);
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

static __always_inline u64 read_word(void *at)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), at);
	return value;
}

/* Hand over what is known of the process that runs now, once. */
static __always_inline void tell_process(struct process_key *key, u64 cgroup)
{
	void *leader = (void *)read_word((void *)bpf_get_current_task() + FIELD_LEADER), *mm;
	struct process_event *event = seen.ringbuf_reserve(sizeof(*event));
	u64 begin, size;
	u8 yes = 1;

	if (!event) {
		count(COUNT_LOST_PROCESSES);
		return;
	}
	event->pid = key->pid;
	event->start_ns = key->start_ns;
	event->cgroup = cgroup;
	event->environ_bytes = 0;
	bpf_probe_read_kernel(event->comm, COMM_BYTES, leader + FIELD_COMM);
	mm = (void *)read_word(leader + FIELD_MM);
	begin = read_word(mm + FIELD_ENV_START);
	size = read_word(mm + FIELD_ENV_END) - begin;
	if (size > ENVIRON_BYTES)
		size = ENVIRON_BYTES;
	if (mm && size > 0 && !bpf_probe_read_user(event->environ, size, (void *)begin))
		event->environ_bytes = size;
	seen.ringbuf_submit(event, 0);
	processes.update(key, &yes);
}

/*
 * Whether a process was handed over. `recent` answers for the few that open most connections: a place of an array costs
 * a tenth of a look into a table that forgets the least used.
 */
static __always_inline void meet(struct process_key *key, u64 cgroup)
{
	int place = key->pid % MAX_RECENT;
	struct process_key *last = recent.lookup(&place);

	if (!key->pid || key->pid == OWN_PID || !last || (last->start_ns == key->start_ns && last->pid == key->pid))
		return;
	if (!processes.lookup(key))
		tell_process(key, cgroup);
	last->start_ns = key->start_ns;
	last->pid = key->pid;
}

/*
 * The process that runs now, which must be the one that opens, reads, closes or sends: not in softirq. This is for
 * programs that see packets, which may not follow pointers; each of these reads is a call.
 */
static __always_inline void read_process(u32 *pid, u64 *start_ns, u64 *cgroup)
{
	void *leader = (void *)read_word((void *)bpf_get_current_task() + FIELD_LEADER), *of;
	struct process_key key = {};

	key.start_ns = read_word(leader + FIELD_START);
	bpf_probe_read_kernel(&key.pid, sizeof(key.pid), leader + FIELD_PID);
	of = (void *)read_word((void *)read_word(leader + FIELD_CGROUPS) + FIELD_CGROUP);
	*cgroup = read_word((void *)read_word(of + FIELD_CGROUP_NODE) + FIELD_NODE_ID);
	*start_ns = key.start_ns;
	*pid = key.pid;
	meet(&key, *cgroup);
}

static __always_inline void *current_leader(void)
{
	return AT(void *, bpf_get_current_task_btf(), FIELD_LEADER);
}

/* The same for all other programs, whose loads the verifier checks against the types of the kernel. */
static __always_inline void name_process(u32 *pid, u64 *start_ns, u64 *cgroup)
{
	void *leader = current_leader(), *of = AT(void *, AT(void *, leader, FIELD_CGROUPS), FIELD_CGROUP);
	struct process_key key = {};

	key.start_ns = AT(u64, leader, FIELD_START);
	key.pid = AT(u32, leader, FIELD_PID);
	*cgroup = AT(u64, AT(void *, of, FIELD_CGROUP_NODE), FIELD_NODE_ID);
	*start_ns = key.start_ns;
	*pid = key.pid;
	meet(&key, *cgroup);
}

/* The inode of a socket, by which user space finds who holds it; 0 when nobody does. */
static __always_inline u64 inode_of(void *sk)
{
	void *socket = (void *)read_word(sk + FIELD_SOCKET);

	return socket ? read_word(socket + FIELD_INODE) : 0;
}

/* tracepoint sched_process_exec(task, old_pid, bprm): the same process is another program now */
int on_exec(u64 *context)
{
	void *leader = current_leader();
	struct process_key key = {}, *last;
	int place;

	key.start_ns = AT(u64, leader, FIELD_START);
	key.pid = AT(u32, leader, FIELD_PID);
	processes.delete(&key);
	place = key.pid % MAX_RECENT;
	last = recent.lookup(&place);
	if (last && last->pid == key.pid)
		last->start_ns = 0;
	return 0;
}
