// SPDX-License-Identifier: GPL-2.0
/*
 * Where a connection is kept, by its socket.
 *
 * State: `rows` of eight sockets, and `connections`, a place for each. A socket's place is in one of two rows, in the one
 * that was emptier when it came; a row is a line of the cache, so that to find it, or that it is not there, takes two.
 * A hash map of the kernel takes four locks to add and to delete one, which cost as much as all else that is done for a
 * short connection. Changes of one socket never overlap (it is locked); those of two that want one place are told apart
 * by an exchange. Limit: a connection both of whose rows are full is lost and counted; the table is made so large that this
 * does not happen to as many as were asked for (simulated: it begins when seven tenths are taken).
 */

/* A pointer as a number: to the verifier, what an exchange may have written is no pointer any more. */
static __always_inline u64 as_number(void *pointer)
{
	u64 value = (u64)pointer;

	__sync_val_compare_and_swap(&value, 1, 1);
	return value;
}

#define NO_PLACE 0xffffffffU

static __always_inline int row_of(u64 socket, int choice)
{
	u64 mixed = (socket >> 6) * 0x9e3779b97f4a7c15ULL;

	if (choice)
		mixed = (mixed ^ mixed >> 32) * 0xd6e8feb86659fd93ULL;
	return (mixed >> 32) % (MAX_CONNECTIONS / PLACES);
}

/* 1 where they are equal, else 0: without a branch, each of which doubles what the verifier has to follow. */
static __always_inline u64 equal(u64 one, u64 other)
{
	u64 difference = one ^ other, negative = -difference;

	asm volatile("" : "+r"(negative)); /* the compiler would make it a branch */
	return 1 - ((difference | negative) >> 63);
}

/* Which of a row's places a socket has, counted from 1; 0 for none. */
static __always_inline u64 place_in(struct row *row, u64 socket)
{
	u64 place = 0;

#pragma unroll
	for (int i = 0; i < PLACES; i++)
		place |= equal(row->socket[i], socket) * (i + 1);
	return place;
}

/* The place of a socket, NO_PLACE for none. */
static __always_inline u32 place_of(u64 socket)
{
	int first = row_of(socket, 0), second = row_of(socket, 1);
	struct row *row = rows.lookup(&first);
	u64 place = row ? place_in(row, socket) : 0;

	if (place)
		return first * PLACES + place - 1;
	row = rows.lookup(&second);
	place = row ? place_in(row, socket) : 0;
	return place ? second * PLACES + place - 1 : NO_PLACE;
}

static __always_inline struct connection *connection_at(u32 place)
{
	int index = place;

	return connections.lookup(&index); /* 0 for NO_PLACE, which is beyond the end */
}

static __always_inline struct connection *find(u64 socket)
{
	return connection_at(place_of(socket));
}

/* How many places of a row are free, and one of them, counted from 1. */
static __always_inline u64 free_places(struct row *row, u64 *one)
{
	u64 free = 0;

	*one = 0;
#pragma unroll
	for (int i = 0; i < PLACES; i++) {
		u64 is_free = equal(row->socket[i], 0);

		free += is_free;
		*one = *one * (1 - is_free) + is_free * (i + 1);
	}
	return free;
}

/* A place in the emptier of a socket's two rows; NO_PLACE when both are full, or another CPU was faster. */
static __always_inline u32 take_place(u64 socket)
{
	int first = row_of(socket, 0), second = row_of(socket, 1), at = first;
	struct row *row = rows.lookup(&first), *other = rows.lookup(&second);
	u64 place, other_place;

	if (!row || !other)
		return NO_PLACE;
	if (free_places(row, &place) < free_places(other, &other_place)) {
		row = other;
		at = second;
		place = other_place;
	}
	place = (place - 1) & (PLACES - 1);
	if (__sync_val_compare_and_swap(&row->socket[place], 0, socket))
		return NO_PLACE;
	return at * PLACES + place;
}

/* Keep the connection of a socket that has no place yet. */
static __always_inline void keep(u64 socket, struct connection *new)
{
	u32 place = NO_PLACE;
	struct connection *of;

	for (int tries = 0; tries < 3 && place == NO_PLACE; tries++)
		place = take_place(socket);
	of = connection_at(place);
	if (of)
		*of = *new;
	else
		count(COUNT_LOST_CONNECTIONS);
}

/* Whoever held the place must be done with it. */
static __always_inline void free_place(u32 place)
{
	int at = place / PLACES;
	struct row *row = rows.lookup(&at);

	if (row)
		row->socket[place % PLACES] = 0;
}
