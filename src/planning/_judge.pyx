# cython: language_level=3
"""What regions need and take, by numbers: bytes of the fullest PE, cycles of layers, seconds of a request.

It says what :class:`wsekern.planning.estimate.QuickPlacement` says, which is its reference, by the same sums in the same order.
"""
from libc.math cimport ceil, floor
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from wsekern._formulas cimport TAKEN, Memo, Number, Ways, real_floor, whole_key
from wsekern.queueing._steady cimport Figures, Line, steady

from wsekern.inference.mapping import MOST_SLOTS

cdef enum:
    BLOCKS = 3              # numbers of blocks in programs
    SIZES = 5               # numbers of wsekern.inference.mapping.BlockSizes
    KEPT = 1 << 16          # times of layers that are known at once

cdef double MOST_SLOTS_ = MOST_SLOTS


cdef inline int64_t pieces(int64_t whole, int64_t size) noexcept:
    # So many of a size make up the whole.
    return (whole + size - 1) // size


cdef inline void put_grid(int64_t *numbers, int64_t width, int64_t height, int64_t context, int64_t chunk, int64_t load,
                          const int64_t *blocks) noexcept:
    # The numbers of wsekern.inference.kinds.GridFormulas.
    cdef int i
    numbers[0], numbers[1], numbers[2], numbers[3], numbers[4] = width, height, context, chunk, load
    for i in range(BLOCKS):
        numbers[5 + i] = blocks[i]


cdef struct Run:
    # Bytes of the weights of some layers together, of one position of a row, and of one sequence whatever its length.
    double weights, slot, state


cdef struct Need:
    # Bytes of weights, of the cache, and of buffers and code.
    double weights, kept, beside


cdef struct Sequences:
    # Their tokens, of which all have the first `shared`.
    int64_t context, shared


cdef inline double slots_of(const Sequences *of, int64_t height, double users) noexcept:
    # Cached positions of a row.
    return pieces(of.shared, height) + users * pieces(of.context - of.shared, height)


cdef class RunBytes:
    """Bytes of the fullest PE of regions without a head, on which one of ``runs`` of layers lies: (kind, how many) of each. Of
    each kind there are ``formulas`` of its sizes, and blocks in its programs. ``load``: experts on the fullest block;
    ``element``, ``code``: bytes of each."""
    cdef tuple formulas, blocks, runs
    cdef int64_t load
    cdef double element, code
    cdef Run *found             # of what was asked last: each of the runs,
    cdef double beside          # buffers and code
    cdef int64_t asked[4]

    def __init__(self, tuple formulas, tuple blocks, tuple runs, int64_t load, double element, double code):
        self.formulas, self.blocks, self.runs = formulas, blocks, runs
        self.load, self.element, self.code = load, element, code
        self.asked[0] = 0
        self.found = <Run *>malloc(len(runs) * sizeof(Run))
        if self.found == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.found)

    cdef int look(self, int64_t width, int64_t height, int64_t chunk, int64_t context) except -1:
        # What a size needs, in `found` and `beside`.
        cdef double buffers = 0.0, room = 0.0
        cdef Py_ssize_t kinds = len(self.formulas), i
        cdef double *sizes
        context = pieces(context, height) * height
        if self.asked[0] == width and self.asked[1] == height and self.asked[2] == chunk and self.asked[3] == context:
            return 0
        self.asked[0] = 0
        sizes = <double *>malloc(kinds * SIZES * sizeof(double))
        if sizes == NULL:
            raise MemoryError
        try:
            for i in range(kinds):
                self.sizes_of(i, width, height, context, chunk, sizes + i * SIZES)
                buffers, room = max(buffers, sizes[i * SIZES + 3]), max(room, sizes[i * SIZES + 4])
            for i in range(len(self.runs)):
                self.found[i] = self.sum_of(<tuple>self.runs[i], sizes)
        finally:
            free(sizes)
        self.beside = ceil(self.element * buffers) + room + self.code
        self.asked[0], self.asked[1], self.asked[2], self.asked[3] = width, height, chunk, context
        return 0

    cdef int sizes_of(self, Py_ssize_t kind, int64_t width, int64_t height, int64_t context, int64_t chunk,
                      double *sizes) except -1:
        cdef int64_t numbers[5 + BLOCKS]
        cdef int64_t blocks[BLOCKS]
        blocks[0], blocks[1], blocks[2] = self.blocks[kind]
        put_grid(numbers, width, height, context, chunk, self.load, blocks)
        return (<Ways>self.formulas[kind]).of_whole(5 + BLOCKS, numbers, SIZES, sizes)

    cdef Run sum_of(self, tuple run, const double *sizes) except *:
        cdef Run found = Run(0.0, 0.0, 0.0)
        cdef const double *one
        cdef double count
        for kind, layers in run:
            one, count = sizes + SIZES * <Py_ssize_t>kind, layers
            found.weights += count * one[0]
            found.slot += count * one[1]
            found.state += count * one[2]
        return found

    cdef Need need(self, int64_t width, int64_t height, int64_t chunk, const Sequences *of, double users) except *:
        # Of the run that needs most, with so many sequences.
        cdef double slots = slots_of(of, height, users), most = 0.0, used
        cdef const Run *run
        cdef Need found
        cdef Py_ssize_t i, fullest = 0
        self.look(width, height, chunk, of.context)
        for i in range(len(self.runs)):
            run = self.found + i
            used = run.weights + (run.slot * slots + run.state * users)
            if i == 0 or used > most:
                fullest, most = i, used
        run = self.found + fullest
        found.weights, found.kept, found.beside = run.weights, ceil(run.slot * slots + run.state * users), self.beside
        return found

    cdef double has_room(self, int64_t width, int64_t height, int64_t chunk, const Sequences *of, double bytes) except? -1.0:
        # Sequences of the whole context for which so many bytes have room.
        cdef double least = 0.0, room, each, users, rest
        cdef Py_ssize_t i
        self.look(width, height, chunk, of.context)
        for i in range(len(self.runs)):
            room = bytes - self.beside - self.found[i].weights - self.found[i].slot * pieces(of.shared, height)
            each = self.found[i].slot * pieces(of.context - of.shared, height) + self.found[i].state
            users = real_floor(room, each, &rest) if each else MOST_SLOTS_
            least = users if i == 0 or users < least else least
        return least

    def by_use(self, int64_t width, int64_t height, int64_t chunk, tuple sequences) -> tuple:
        """Bytes of weights, of the cache, and of buffers and code, with so many ``sequences`` of so many tokens, of which all
        have the first (a third number)."""
        cdef Sequences of = Sequences(sequences[1], sequences[2])
        cdef Need found = self.need(width, height, chunk, &of, sequences[0])
        return <int64_t>found.weights, <int64_t>found.kept, <int64_t>found.beside

    cdef int64_t held(self, int64_t width, int64_t height, int64_t chunk, tuple sequences, int64_t sram, int64_t more) except -1:
        # Layers for which PEs of so many bytes have room, where each further one has `more` bytes of code.
        cdef Sequences of = Sequences(sequences[1], sequences[2])
        cdef Need found = self.need(width, height, chunk, &of, sequences[0])
        cdef int64_t each = <int64_t>(found.weights + found.kept), room = sram - each - <int64_t>found.beside
        return room // (each + more) + 1 if room >= 0 else 0

    def narrowest(self, int64_t height, int64_t chunk, tuple sequences, int64_t sram, int64_t more, int64_t layers,
                  int64_t widest) -> list:
        """Columns that are enough for 1, 2, ... up to ``layers`` layers, each further one with ``more`` bytes of code, on PEs
        of ``sram`` bytes, with ``sequences`` as above: as far as ``widest`` have room."""
        cdef int64_t count, low = 0, high, probe, i
        cdef list found = []
        for count in range(1, min(layers, self.held(widest, height, chunk, sequences, sram, more)) + 1):
            high = widest
            for i in range(3):  # about as many more as the one before took
                probe = count * (found[count - 2] if found else 0) // max(1, count - 1) + (0, -4, 4)[i]
                if low < probe < high:
                    if self.held(probe, height, chunk, sequences, sram, more) >= count:
                        high = probe
                    else:
                        low = probe
            while high - low > 1:
                probe = (low + high) // 2
                if self.held(probe, height, chunk, sequences, sram, more) >= count:
                    high = probe
                else:
                    low = probe
            found.append(high)
            low = high
        return found


cdef class LayerCycles:
    """Cycles of a layer of a kind on any grid, by formulas of its mixers, of all else, of the experts that the fullest block is
    expected to have, and of the way of tokens to a half of it; with ``blocks`` in its programs. ``over_all``: its steps are the
    same for all contexts and chunks for which blocks of positions are."""
    cdef Ways mixers, others, expected, way
    cdef int64_t blocks[BLOCKS]
    cdef bint over_all
    cdef Memo known

    def __init__(self, Ways mixers, Ways others, Ways expected, Ways way, tuple blocks, bint over_all):
        self.mixers, self.others, self.expected, self.way, self.over_all = mixers, others, expected, way, over_all
        self.blocks[0], self.blocks[1], self.blocks[2] = blocks
        self.known = Memo(None)

    cdef double by(self, Ways formulas, int64_t width, int64_t height, int64_t context, int64_t chunk, int64_t load,
                   int64_t tokens, int64_t slots) except? -1.0:
        cdef int64_t numbers[7 + BLOCKS]
        cdef double found
        put_grid(numbers, width, height, context, chunk, load, self.blocks)
        numbers[5 + BLOCKS], numbers[6 + BLOCKS] = tokens, slots
        formulas.of_whole(7 + BLOCKS, numbers, 1, &found)
        return found

    cdef double cycles(self, int64_t width, int64_t height, int64_t most, int64_t chunk, int64_t load, int64_t tokens,
                       int64_t slots) except? -1.0:
        cdef int64_t context = most * height
        cdef int64_t numbers[7]
        cdef Number key[2 + TAKEN]
        cdef Number found
        if self.over_all:
            context, chunk = min(most, self.blocks[0]) * height, 1
        numbers[0], numbers[1], numbers[2], numbers[3] = width, height, context, chunk
        numbers[4], numbers[5], numbers[6] = load, tokens, slots
        whole_key(key, 7, numbers)
        if not self.known.find(key, &found):
            found.real = self.reckoned(width, height, context, chunk, load, tokens, slots)
            if self.known.used >= KEPT:
                self.known = Memo(None)
            self.known.keep(key, found, 2)
        return found.real

    cdef double reckoned(self, int64_t width, int64_t height, int64_t context, int64_t chunk, int64_t load, int64_t tokens,
                         int64_t slots) except? -1.0:
        # The mean of the whole numbers of experts beside what is expected.
        cdef double mixers = self.by(self.mixers, width, height, context, chunk, load, tokens, slots)
        cdef double experts = self.by(self.expected, width, height, 1, 1, load, tokens, 1)
        cdef double whole = floor(experts), more = experts - floor(experts)
        cdef double found = (1.0 - more) * (mixers + self.by(self.others, width, height, 1, 1, <int64_t>whole, tokens, 1))
        if more:
            found += more * (mixers + self.by(self.others, width, height, 1, 1, <int64_t>whole + 1, tokens, 1))
        return found

    def __call__(self, int64_t width, int64_t height, int64_t most, int64_t chunk, int64_t load, int64_t tokens,
                 int64_t slots) -> float:
        """On a region with room for ``most`` positions in a row and ``chunk`` tokens at once, ``load`` as its grid has it."""
        return self.cycles(width, height, most, chunk, load, tokens, slots)

    cdef double arrives(self, int64_t width, int64_t height, int64_t tokens) except? -1.0:
        return self.by(self.way, width, height, 1, 1, 0, tokens, 1)

    def arriving(self, int64_t width, int64_t height, int64_t tokens) -> float:
        """The way of tokens to a layer in one half, on its columns: the same for all contexts."""
        return self.arrives(width, height, tokens)


cdef class Part:
    """Columns of a region, of whole layers or of one half of them: their bytes, and the cycles of each kind of layer with the
    number of those in the model."""
    cdef RunBytes bytes
    cdef tuple cycles, counts

    def __init__(self, RunBytes bytes, tuple cycles, tuple counts):
        self.bytes, self.cycles, self.counts = bytes, cycles, counts


cdef struct Sides:
    # Of a region: columns of each of its parts, rows, and whether such regions can only lie above each other.
    int64_t widths[2]
    int64_t height
    bint stacked


cdef class Region:
    """``count`` regions with ``layers`` of the ``known`` layers of a model each; ``load``: experts on the fullest block, where
    that is said."""
    cdef tuple parts
    cdef int64_t layers, known, load
    cdef readonly int64_t count

    def __init__(self, tuple parts, int64_t layers, int64_t known, int64_t count, int64_t load):
        self.parts, self.layers, self.known, self.count, self.load = parts, layers, known, count, load

    cdef double cycles(self, const Sides *sides, int64_t most, int64_t chunk, int64_t tokens, int64_t slots) except? -1.0:
        # All layers that are known.
        cdef double found = 0.0, ways = 0.0, own
        cdef Py_ssize_t i, kind
        cdef Part part
        for i in range(len(self.parts)):
            part, own = <Part>self.parts[i], 0.0
            for kind in range(len(part.cycles)):
                own += <int64_t>part.counts[kind] * (<LayerCycles>part.cycles[kind]).cycles(
                    sides.widths[i], sides.height, most, chunk, self.load, tokens, slots)
                if len(self.parts) > 1:
                    ways += <int64_t>part.counts[kind] * (<LayerCycles>part.cycles[kind]).arrives(
                        sides.widths[i], sides.height, tokens)
            found += own
        return ways + found


cdef class Load:
    """What is asked of regions, and of what machine: ``sram`` bytes of a PE, ``across`` PEs of a row, ``clock``; ``hidden``
    elements of the residual stream; room for ``context`` tokens of ``batch`` users, all of whom have the first ``shared``; prompts
    of ``prompt`` tokens, ``unread`` ones to be read, answers of ``output``, ``checked`` tokens of a user in a pass, ``think``
    seconds. ``timed``: tokens that are timed beside one and the most; ``along``, ``down``: cycles of a broadcast, of (columns,
    rows, elements)."""
    cdef Sequences sequences
    cdef int64_t sram, across, hidden, batch, prompt, unread, output, checked, timed
    cdef double clock, think
    cdef Memo along, down

    def __init__(self, *, sram, across, clock, hidden, context, shared, batch, prompt, unread, output, checked, timed, think,
                 along, down):
        self.sram, self.across, self.clock, self.hidden = sram, across, clock, hidden
        self.sequences = Sequences(context, shared)
        self.batch, self.prompt, self.unread, self.output, self.checked = batch, prompt, unread, output, checked
        self.timed, self.think, self.along, self.down = timed, think, along, down

    cdef inline int64_t together(self, int64_t inside, int64_t stages) noexcept:
        # As wsekern.planning.layout.Placement has it.
        return min(inside, pieces(inside * self.checked, stages))


cdef class Regions:
    """All regions of candidates that differ in their sides alone, by their shapes, before a :class:`Load`."""
    cdef tuple shapes
    cdef int64_t count
    cdef Load load

    def __init__(self, tuple shapes, Load load):
        self.shapes, self.load, self.count = shapes, load, sum([one.count for one in shapes])

    cdef Sides sides(self, int64_t width, int64_t height, int64_t mixers) noexcept:
        cdef Sides found
        found.widths[0], found.widths[1] = mixers if mixers else width, width - mixers
        found.height, found.stacked = height, mixers and 2 * width > self.load.across
        return found

    # -- room ----------------------------------------------------------------------------------------------------------
    cdef bint hold(self, const Sides *sides, int64_t chunk, int64_t inside) except -1:
        cdef Py_ssize_t shape, i
        cdef Region one
        cdef Need need
        chunk = max(chunk, self.load.together(inside, self.count + 1))
        for shape in range(len(self.shapes)):
            one = <Region>self.shapes[shape]
            for i in range(len(one.parts)):
                need = (<Part>one.parts[i]).bytes.need(sides.widths[i], sides.height, chunk, &self.load.sequences, inside)
                if need.weights + need.kept + need.beside > self.load.sram:
                    return False
        return True

    def holds(self, int64_t width, int64_t height, int64_t mixers, int64_t chunk, int64_t inside) -> bool:
        """Whether regions of these sides, ``mixers`` of the columns for mixers (0: all), have room for chunks of so many tokens
        and the caches of so many users."""
        cdef Sides sides = self.sides(width, height, mixers)
        return self.hold(&sides, chunk, inside)

    cdef double most_users(self, const Sides *sides, int64_t chunk) except? -1.0:
        # Of all with buffers for chunks of so many tokens.
        cdef double least = MOST_SLOTS_
        cdef Py_ssize_t shape, i
        cdef Region one
        for shape in range(len(self.shapes)):
            one = <Region>self.shapes[shape]
            for i in range(len(one.parts)):
                least = min(least, (<Part>one.parts[i]).bytes.has_room(sides.widths[i], sides.height, chunk,
                                                                       &self.load.sequences, self.load.sram))
        return least

    def served(self, int64_t width, int64_t height, int64_t mixers, int64_t chunk, double least) -> int:
        """The users who are served at once where there is room for all or at least the share ``least`` of them; 0: there is
        none."""
        cdef Sides sides = self.sides(width, height, mixers)
        cdef int64_t batch = self.load.batch, low = 0, middle, inside
        cdef double most
        if self.hold(&sides, chunk, batch):
            return batch
        most = self.most_users(&sides, max(chunk, self.load.together(batch, self.count + 1)))
        inside = batch if most >= batch else <int64_t>most
        if inside < 1:          # buffers for all of them are too large
            inside = batch
            while inside - low > 1:
                middle = (low + inside) // 2
                if self.hold(&sides, chunk, middle):
                    low = middle
                else:
                    inside = middle
            inside = low
        return inside if inside >= max(1.0, least * batch) and self.hold(&sides, chunk, inside) else 0

    # -- time ----------------------------------------------------------------------------------------------------------
    cdef double passed_on(self, const Sides *sides, int64_t width, int64_t elements) except? -1.0:
        # Cycles of so many elements of a row from one region to the next.
        cdef int64_t along[3]
        cdef int64_t down[3]
        along[0], along[1], along[2] = sides.widths[0] if sides.stacked else width, 0, elements
        if not sides.stacked:
            return self.load.along.of_whole(3, along)
        down[0], down[1], down[2] = 0, sides.height, pieces(sides.height, sides.widths[0]) * elements
        return self.load.down.of_whole(3, down) + self.load.along.of_whole(3, along)

    cdef double seconds_of(self, Region one, const Sides *sides, int64_t width, int64_t chunk, int64_t tokens,
                           int64_t position) except? -1.0:
        # Of so many tokens in a region, with so many cached positions before them.
        cdef Load load = self.load
        cdef double cycles = one.cycles(sides, pieces(load.sequences.context, sides.height), chunk, tokens,
                                        max(1, pieces(position, sides.height)))
        cdef double passed = self.passed_on(sides, width, tokens * pieces(load.hidden, sides.height))
        return (cycles / one.known * one.layers + passed) / load.clock

    cdef int put_costs(self, double *costs, Region one, const Sides *sides, int64_t width, int64_t chunk, int64_t most,
                       int64_t position, bint whole) except -1:
        # Of 1 to `most` tokens, on straight lines between those that are timed; where only `whole` ones come, theirs.
        cdef double least, some, all = self.seconds_of(one, sides, width, chunk, most, position)
        cdef int64_t tokens, timed = min(most, self.load.timed)
        if whole or most == 1:
            for tokens in range(most):
                costs[tokens] = all
            return 0
        least = self.seconds_of(one, sides, width, chunk, 1, position)
        some = self.seconds_of(one, sides, width, chunk, timed, position) if timed < most else all
        for tokens in range(1, timed):
            costs[tokens - 1] = (some - least) / <double>(timed - 1) * <double>(tokens - 1) + least
        for tokens in range(timed, most):
            costs[tokens - 1] = (all - some) / <double>(most - timed) * <double>(tokens - timed) + some
        costs[most - 1] = all
        return 0

    def seconds(self, int64_t width, int64_t height, int64_t mixers, int64_t chunk, int64_t served, double head,
                double crossing, double crossing_token) -> float:
        """Of a request on regions of these sides, with chunks of so many tokens and so many users served at once; ``head``: of
        a token in the head, ``crossing``: between wafers, and more of it for each token."""
        cdef Load load = self.load
        cdef Sides sides = self.sides(width, height, mixers)
        cdef int64_t inside = min(served, load.batch), buffered = max(chunk, load.together(inside, self.count + 1))
        cdef int64_t token = load.prompt + load.output // 2, read = load.prompt - load.unread + load.unread // 2 + 1
        cdef int64_t together = min(buffered, load.together(inside, self.count))
        cdef double pace = -1.0, passed = 0.0, own
        cdef Region slowest = None, one
        cdef Figures found
        cdef Line line
        cdef double *costs
        for one in self.shapes:
            own = self.seconds_of(one, &sides, width, buffered, 1, token)
            passed += one.count * own
            if own > pace:
                slowest, pace = one, own
        passed /= pace
        costs = <double *>malloc((together + chunk) * sizeof(double))
        if costs == NULL:
            raise MemoryError
        try:
            costs[0] = pace
            if together > 1:
                self.put_costs(costs, slowest, &sides, width, buffered, together, token, False)
            self.put_costs(costs + together, slowest, &sides, width, buffered, chunk, read, load.unread % chunk == 0)
            line.group_base, line.chunk_base, line.group_slope, line.chunk_slope = costs, costs + together, NULL, NULL
            line.groups, line.chunk = together, chunk
            line.regions = max(1.0, ceil(passed - 1e-9))
            line.last_share = passed - (line.regions - 1.0)
            line.head, line.crossing, line.crossing_token = head, crossing, crossing_token
            line.checked, line.kept, line.draft, line.draft_busy, line.draft_in_line = 1.0, 1.0, 0.0, 0.0, False
            found = steady(&line, load.batch, load.unread, load.output, load.think, served if served < load.batch else -1)
        finally:
            free(costs)
        return found.first + (load.output - 1) * found.token
