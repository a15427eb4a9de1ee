# cython: language_level=3
"""Where rectangles lie on a wafer: see wsekern.planning.regions, which deals regions to wafers, and wsekern.planning.reference,
which says what is free in Python.
"""
from libc.stdlib cimport free, malloc, realloc


cdef struct Box:
    Py_ssize_t x, y, width, height


cdef inline bint inside(const Box *box, const Box *other) noexcept nogil:
    return (other.x <= box.x and other.y <= box.y and box.x + box.width <= other.x + other.width
            and box.y + box.height <= other.y + other.height)


cdef inline bint same(const Box *box, const Box *other) noexcept nogil:
    return box.x == other.x and box.y == other.y and box.width == other.width and box.height == other.height


cdef inline Py_ssize_t put(Box *boxes, Py_ssize_t count, Py_ssize_t x, Py_ssize_t y, Py_ssize_t width, Py_ssize_t height) noexcept nogil:
    boxes[count].x, boxes[count].y, boxes[count].width, boxes[count].height = x, y, width, height
    return count + 1


cdef class Wafer:
    """What is free on one wafer: the largest rectangles, which may overlap."""
    cdef Box *boxes
    cdef Py_ssize_t count

    def __init__(self, Py_ssize_t width, Py_ssize_t height):
        free(self.boxes)
        self.boxes = <Box *>malloc(sizeof(Box))
        if self.boxes == NULL:
            raise MemoryError
        self.count = put(self.boxes, 0, 0, 0, width, height)

    def __dealloc__(self):
        free(self.boxes)

    @property
    def free(self):
        """(x, y, width, height) of each."""
        cdef Py_ssize_t k
        return [(self.boxes[k].x, self.boxes[k].y, self.boxes[k].width, self.boxes[k].height) for k in range(self.count)]

    def place(self, Py_ssize_t width, Py_ssize_t height):
        """(x, y) of the lowest place for a rectangle, which it takes; None if there is none."""
        cdef const Box *box
        cdef const Box *found = NULL
        cdef Py_ssize_t k, x, y
        for k in range(self.count):
            box = self.boxes + k
            if width <= box.width and height <= box.height and (
                    found == NULL or box.y < found.y or (box.y == found.y and box.x < found.x)):
                found = box
        if found == NULL:
            return None
        x, y = found.x, found.y
        self.take(x, y, width, height)
        return x, y

    cpdef take(self, Py_ssize_t x, Py_ssize_t y, Py_ssize_t width, Py_ssize_t height):
        """Let that rectangle be free no more."""
        cdef Py_ssize_t right = x + width, top = y + height, k, other, kept = 0, cut = 0, left
        cdef Box *box
        cdef Box *cuts = <Box *>malloc(4 * max(1, self.count) * sizeof(Box))
        cdef bint needed
        if cuts == NULL:
            raise MemoryError
        for k in range(self.count):
            box = self.boxes + k
            if box.x >= right or box.x + box.width <= x or box.y >= top or box.y + box.height <= y:
                self.boxes[kept] = box[0]
                kept += 1
                continue
            if box.x < x:
                cut = put(cuts, cut, box.x, box.y, x - box.x, box.height)
            if box.x + box.width > right:
                cut = put(cuts, cut, right, box.y, box.x + box.width - right, box.height)
            if box.y < y:
                cut = put(cuts, cut, box.x, box.y, box.width, y - box.y)
            if box.y + box.height > top:
                cut = put(cuts, cut, box.x, top, box.width, box.y + box.height - top)
        self.count = kept
        box = <Box *>realloc(self.boxes, max(1, kept + cut) * sizeof(Box))
        if box == NULL:
            free(cuts)
            raise MemoryError
        self.boxes = box
        for k in range(cut):        # those that lie in another are left out, of equal ones all but the first
            needed = True
            for other in range(cut):
                if other != k and inside(cuts + k, cuts + other) and (other < k or not same(cuts + k, cuts + other)):
                    needed = False
                    break
            for left in range(kept):
                if not needed or inside(cuts + k, self.boxes + left):
                    needed = False
                    break
            if needed:
                self.boxes[self.count] = cuts[k]
                self.count += 1
        free(cuts)
