"""Offsets of fields in the running kernel's structs, as `-D` flags for the compiler, from its BTF.

Invariant: every offset that the programs name is here and comes from BTF. A kernel that lacks one is refused by the
field's name. Code that is compiled against another kernel's headers counts wrong bytes, and nothing says so.
"""

from __future__ import annotations

from chronotope.bpf.btf import Btf

# their name → (struct, field). Newer spelling first, where a field was renamed.
_FIELDS = {
    "FIELD_FAMILY": ("sock", "__sk_common.skc_family"),
    "FIELD_STATE": ("sock", "__sk_common.skc_state"),
    "FIELD_LOCAL4": ("sock", "__sk_common.skc_rcv_saddr"),
    "FIELD_REMOTE4": ("sock", "__sk_common.skc_daddr"),
    "FIELD_LOCAL6": ("sock", "__sk_common.skc_v6_rcv_saddr"),
    "FIELD_REMOTE6": ("sock", "__sk_common.skc_v6_daddr"),
    "FIELD_LOCAL_PORT": ("sock", "__sk_common.skc_num"),
    "FIELD_REMOTE_PORT": ("sock", "__sk_common.skc_dport"),
    "FIELD_NET": ("sock", "__sk_common.skc_net.net"),
    "FIELD_IPV6_ONLY": ("sock", "__sk_common.skc_ipv6only"),
    "FIELD_NETNS": ("net", "ns.inum"),
    "FIELD_FLAGS": ("sock", "__sk_common.skc_flags"),
    "FIELD_PROTOCOL": ("sock", "sk_protocol"),
    "FIELD_LOCKS": ("sock", "sk_userlocks"),
    "FIELD_SOCKET": ("sock", "sk_socket"),
    "FIELD_BYTES_ACKNOWLEDGED": ("tcp_sock", "bytes_acked"),
    "FIELD_SEND_UNACKNOWLEDGED": ("tcp_sock", "snd_una"),
    "FIELD_SEND_NEXT": ("tcp_sock", "snd_nxt"),
    "FIELD_WRITE_NEXT": ("tcp_sock", "write_seq"),
    "FIELD_BYTES_RECEIVED": ("tcp_sock", "bytes_received"),
    "FIELD_RECEIVE_NEXT": ("tcp_sock", "rcv_nxt"),
    "FIELD_COPIED": ("tcp_sock", "copied_seq"),
    "FIELD_RETRANSMITS": ("tcp_sock", "total_retrans"),
    "FIELD_RTT": ("tcp_sock", "srtt_us"),
    "FIELD_LEADER": ("task_struct", "group_leader"),
    "FIELD_START": ("task_struct", "start_boottime"),
    "FIELD_MM": ("task_struct", "mm"),
    "FIELD_ENV_START": ("mm_struct", "env_start"),
    "FIELD_ENV_END": ("mm_struct", "env_end"),
    "FIELD_PID": ("task_struct", "tgid"),
    "FIELD_COMM": ("task_struct", "comm"),
    "FIELD_CGROUPS": ("task_struct", "cgroups"),
    "FIELD_CGROUP": ("css_set", "dfl_cgrp"),
    "FIELD_CGROUP_NODE": ("cgroup", "kn"),
    "FIELD_NODE_ID": ("kernfs_node", "id"),
}


def offset_flags(btf: Btf) -> list[str]:
    """Return the compiler flags with the offsets.

    Raises:
        UnknownType: this kernel lacks a struct, field or function; the message names it.
    """
    flags = [f"-D{name}={btf.field(*place).offset}" for name, place in _FIELDS.items()]
    inode = btf.field("socket_alloc", "vfs_inode").offset + btf.field("inode", "i_ino").offset
    return [
        *flags,
        f"-DFIELD_INODE={inode}",  # from struct socket on, with which socket_alloc begins
        f"-DBIT_IPV6_ONLY={btf.field('sock', '__sk_common.skc_ipv6only').bit}",
    ]
