/* SPDX-License-Identifier: GPL-2.0 */
/* bcc takes the presence of this file for a kernel's headers; the one option is what its headers ask for. */
#define CONFIG_BPF_SYSCALL 1
