# cython: language_level=3
# What was found of numbers that come again, noted behind them. (Bodies of _timing.pyx, compiled into it.)
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcmp, memcpy, memset

cdef enum:
    PLACES = 512            # for what was found, by the numbers of which it was: as many as nine bits tell apart
    KEY = 64                # numbers at most
    ROOM = 1 << 14          # numbers noted at most: then all are forgotten

cdef struct Key:
    # The numbers that tell one thing from others, and its place.
    int64_t number[KEY]
    int count, place


cdef struct Noted:
    int64_t *numbers            # of keys, each behind its count and before what was found
    int used, room
    int place[PLACES]           # 1 + where its place is among these; 0: none


cdef inline void find_place(Key *key, int64_t count) noexcept nogil:
    # Of a key of so many numbers.
    cdef uint64_t mixed = 0
    cdef int i
    key.count = <int>count
    for i in range(key.count):          # products that do not wait for each other
        mixed += <uint64_t>key.number[i] * (0x9E3779B97F4A7C15ULL * <uint64_t>(2 * i + 1))
    key.place = <int>((mixed ^ mixed >> 32) * 0x9E3779B97F4A7C15ULL >> 55)


cdef inline int64_t *found_at(const Noted *noted, const Key *key) noexcept nogil:
    # What was found of a key, or NULL.
    cdef int64_t *numbers
    if not noted.place[key.place]:
        return NULL
    numbers = noted.numbers + noted.place[key.place] - 1
    if numbers[0] != key.count or memcmp(numbers + 1, key.number, key.count * sizeof(int64_t)):
        return NULL
    return numbers + 1 + key.count


cdef inline int64_t *new_place(Noted *noted, const Key *key, int found) noexcept nogil:
    # For the numbers, so many, that are found of a key; NULL where there is no memory.
    cdef int needed = 1 + key.count + found
    cdef int64_t *numbers
    if noted.used + needed > ROOM:
        noted.used = 0
        memset(noted.place, 0, sizeof(noted.place))
    if noted.used + needed > noted.room:
        numbers = <int64_t *>realloc(noted.numbers, 2 * (noted.room + needed) * sizeof(int64_t))
        if numbers == NULL:
            return NULL
        noted.numbers, noted.room = numbers, 2 * (noted.room + needed)
    numbers = noted.numbers + noted.used
    noted.place[key.place] = noted.used + 1
    noted.used += needed
    numbers[0] = key.count
    memcpy(numbers + 1, key.number, key.count * sizeof(int64_t))
    return numbers + 1 + key.count
