/* SPDX-License-Identifier: GPL-2.0 */
/* The oldest kernel that runs the programs; what differs above it is asked of BTF, not of a version. */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 9, 0)
