// SPDX-License-Identifier: GPL-2.0
/*
 * UDP by pair of sockets.
 *
 * Hooks: the packets that sockets of the root cgroup send, and those that arrive for them. Most packets are TCP's, and
 * are passed on after a look at one byte.
 * State: `datagrams`.
 */

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
	else
		new.inode = inode_of(sk);
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
