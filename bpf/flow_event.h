/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The records that leave the kernel. chronotope/bpf/records.py reads the same layouts: fixed widths, no padding, 16-byte
 * addresses (IPv4 in its mapped form), ports in host order, times of CLOCK_MONOTONIC.
 */
#ifndef CHRONOTOPE_FLOW_EVENT_H
#define CHRONOTOPE_FLOW_EVENT_H

#include <linux/types.h>

#define ADDRESS_WORDS 2
#define ENVIRON_BYTES 4096
#define COMM_BYTES 16

enum role { ROLE_UNKNOWN, ROLE_CLIENT, ROLE_SERVER, ROLE_LISTENER };
enum origin { ORIGIN_UNKNOWN, ORIGIN_SYN, ORIGIN_PORT };

/* What one connection, or several of one pair, did since it was last told. */
struct flow_event {
	u64 local_address[ADDRESS_WORDS];
	u64 remote_address[ADDRESS_WORDS];
	u64 opened_ns; /* 0: before the agent started */
	u64 at_ns;
	u64 process_start_ns; /* CLOCK_BOOTTIME; with the pid it names one process for ever */
	u64 cgroup; /* id in the second hierarchy */
	u64 inode; /* of the socket, where the process is not known */
	u64 bytes_out; /* as the local end sent them, each once */
	u64 bytes_in;
	u64 rtt_us_sum;
	u32 rtt_count;
	u32 retransmits; /* segments the local end sent again */
	u32 connections; /* opened and not told of before */
	u32 failed;
	u32 netns; /* inode number of the network namespace */
	u32 pid; /* 0: nobody has accepted it yet, or opened before the agent started */
	u16 local_port;
	u16 remote_port; /* 0: several connections of one pair */
	u8 role;
	u8 transport; /* IP protocol number */
	u8 alive;
	u8 origin; /* how the role is known */
};

/* A process at its first connection: what may be gone when somebody looks for it. */
struct process_event {
	u64 start_ns;
	u64 cgroup;
	u32 pid;
	u32 environ_bytes; /* of the environment that follow; it may be longer */
	char comm[COMM_BYTES];
	char environ[ENVIRON_BYTES];
};

/* What the kernel keeps of a connection while it lives. */
struct connection {
	u64 local_address[ADDRESS_WORDS];
	u64 remote_address[ADDRESS_WORDS];
	u64 opened_ns;
	u64 process_start_ns;
	u64 cgroup;
	u64 inode;
	u64 told_out; /* what has been told of its counters */
	u64 told_in;
	u32 told_retransmits;
	u32 netns;
	u32 pid;
	u16 local_port;
	u16 remote_port;
	u8 role;
	u8 origin;
	u8 established;
	u8 told; /* that it was opened */
	u8 pad[4];
};

/* Sockets whose connections are kept side by side; 0: a free place. */
#define PLACES 8
struct row {
	u64 socket[PLACES];
};

/* Whose short connections are summed when too many close between two reads. */
struct pair_key {
	u64 client_address[ADDRESS_WORDS];
	u64 server_address[ADDRESS_WORDS];
	u32 phase;
	u32 netns;
	u32 pid;
	u16 server_port;
	u8 role;
	u8 origin;
};

/* Datagrams between two sockets. */
struct datagram_key {
	u64 local_address[ADDRESS_WORDS];
	u64 remote_address[ADDRESS_WORDS];
	u32 phase;
	u32 netns;
	u16 local_port;
	u16 remote_port;
	u32 pad;
};

struct process_key {
	u64 start_ns;
	u32 pid;
	u32 pad;
};

struct listener_key {
	u32 netns;
	u32 port;
};

/* What was seen and what was lost; an index into `counters`. */
enum counter {
	COUNT_OPENED,
	COUNT_CLOSED,
	COUNT_SUMMED, /* connections told as part of a pair */
	COUNT_FOUND, /* open before they were watched */
	COUNT_DATAGRAMS,
	COUNT_UNNAMED, /* connections that some process read from, when nobody watched who reads */
	COUNT_LOST_CONNECTIONS, /* the table of connections was full */
	COUNT_LOST_FLOWS, /* the table of pairs was full too */
	COUNT_LOST_DATAGRAMS, /* the table of datagrams was full */
	COUNT_LOST_PROCESSES, /* read from /proc instead */
	COUNTERS,
};

#endif
