/* SPDX-License-Identifier: GPL-2.0 */
/* The integer types that bcc's own headers use, so that no header package of any kernel is needed. */
#ifndef CHRONOTOPE_TYPES_H
#define CHRONOTOPE_TYPES_H

typedef unsigned char __u8, u8, uint8_t;
typedef signed char __s8, s8;
typedef unsigned short __u16, u16, uint16_t, __be16, __sum16;
typedef short __s16, s16;
typedef unsigned int __u32, u32, uint32_t, __be32, __wsum;
typedef int __s32, s32, pid_t;
typedef unsigned long long __u64, u64, uint64_t, __be64;
typedef long long __s64, s64;
typedef unsigned long size_t, uintptr_t;
typedef long ssize_t;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)
#define __bitwise
#define __always_inline inline __attribute__((always_inline))
#define __aligned_u64 u64 __attribute__((aligned(8)))

#endif
