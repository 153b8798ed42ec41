# Events in columns: an Arrow C stream (https://arrow.apache.org/docs/format/CStreamInterface.html and CDataInterface.html), as
# tables and readers of pyarrow and polars and relations of duckdb give one. A row is read straight into registers, and no
# Python object is made for it unless a value is of an odd type or wrong.

from cpython.pycapsule cimport PyCapsule_GetPointer

cdef extern from *:
    """
    #ifndef ARROW_C_DATA_INTERFACE
    #define ARROW_C_DATA_INTERFACE
    struct ArrowSchema {
        const char *format, *name, *metadata;
        int64_t flags, n_children;
        struct ArrowSchema **children, *dictionary;
        void (*release)(struct ArrowSchema *);
        void *private_data;
    };
    struct ArrowArray {
        int64_t length, null_count, offset, n_buffers, n_children;
        const void **buffers;
        struct ArrowArray **children, *dictionary;
        void (*release)(struct ArrowArray *);
        void *private_data;
    };
    #endif
    #ifndef ARROW_C_STREAM_INTERFACE
    #define ARROW_C_STREAM_INTERFACE
    struct ArrowArrayStream {
        int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *);
        int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *);
        const char *(*get_last_error)(struct ArrowArrayStream *);
        void (*release)(struct ArrowArrayStream *);
        void *private_data;
    };
    #endif
    """
    ctypedef struct ArrowSchema "struct ArrowSchema":
        const char* format
        const char* name
        int64_t n_children
        ArrowSchema** children
        ArrowSchema* dictionary
        void (*release)(ArrowSchema*) noexcept nogil
    ctypedef struct ArrowArray "struct ArrowArray":
        int64_t length
        int64_t null_count
        int64_t offset
        int64_t n_buffers
        const void** buffers
        int64_t n_children
        ArrowArray** children
        ArrowArray* dictionary
        void (*release)(ArrowArray*) noexcept nogil
    ctypedef struct ArrowArrayStream "struct ArrowArrayStream":
        int (*get_schema)(ArrowArrayStream*, ArrowSchema*) noexcept nogil
        int (*get_next)(ArrowArrayStream*, ArrowArray*) noexcept nogil
        const char* (*get_last_error)(ArrowArrayStream*) noexcept nogil
        void (*release)(ArrowArrayStream*) noexcept nogil

cdef enum CellForm:
    CELL_ABSENT  # no such column, or one of nothing but nulls
    CELL_BOOL
    CELL_INT8
    CELL_INT16
    CELL_INT32
    CELL_INT64
    CELL_UINT8
    CELL_UINT16
    CELL_UINT32
    CELL_UINT64
    CELL_FLOAT
    CELL_DOUBLE
    CELL_TEXT
    CELL_LARGE_TEXT
    CELL_TEXT_VIEW
    CELL_INSTANT
    CELL_DECIMAL
    CELL_OTHER

_CELL_FORMS = {
    "n": CELL_ABSENT, "b": CELL_BOOL, "c": CELL_INT8, "s": CELL_INT16, "i": CELL_INT32, "l": CELL_INT64, "C": CELL_UINT8,
    "S": CELL_UINT16, "I": CELL_UINT32, "L": CELL_UINT64, "f": CELL_FLOAT, "g": CELL_DOUBLE, "u": CELL_TEXT,
    "U": CELL_LARGE_TEXT, "vu": CELL_TEXT_VIEW,
}
_INSTANT_UNITS = {"tss:": -1000, "tsm:": 1, "tsu:": 1000, "tsn:": 1_000_000}

cdef struct Column:
    uint8_t form
    uint8_t bytes_  # of a decimal
    uint8_t has_zone
    uint8_t is_dictionary  # the form is of the indexes
    int64_t unit  # of an instant: what one millisecond is, -1000: what one is in milliseconds
    int32_t scale  # of a decimal
    const ArrowArray* array  # of the batch at hand; NULL: no such column
    Column* values  # of a dictionary
    ArrowSchema* schema
    int64_t[8] path  # of children, from the row; -1 ends it

cdef enum:
    ARROW_DEPTH_MAX = 7  # structs in structs; a field's path is never longer


@cython.final
cdef class ArrowRows:
    """The rows of an Arrow C stream, one at a time: where a call takes an event, it takes this, and means the row at hand.

    Raises ValueError for what is no stream of rows.
    """

    cdef object capsule  # lets go of the stream when it goes
    cdef ArrowArrayStream* stream
    cdef ArrowSchema schema
    cdef ArrowArray batch
    cdef dict columns  # path -> its index
    cdef Column* column
    cdef Column* dictionaries
    cdef Book book  # whose fields the columns are
    cdef list told  # those of the columns that tell something beside the event
    cdef int64_t first  # rows before this batch
    cdef int64_t row  # in the batch

    def __cinit__(self, source):
        self.capsule = source.__arrow_c_stream__()
        self.stream = <ArrowArrayStream*>PyCapsule_GetPointer(self.capsule, "arrow_array_stream")
        if self.stream.release == NULL:
            raise ValueError("the Arrow stream was read already")
        cdef int failed
        with nogil:
            failed = self.stream.get_schema(self.stream, &self.schema)
        if failed:
            raise self.failure()
        if self.schema.format[0:2] != b"+s":
            raise ValueError("an Arrow stream of events has rows: give a table or record batches, not a single column")
        self.columns = {}

    def __dealloc__(self):
        self.let_go()
        if self.schema.release != NULL:
            self.schema.release(&self.schema)
        free(self.column)
        free(self.dictionaries)

    cdef void let_go(self) noexcept nogil:
        if self.batch.release != NULL:
            self.batch.release(&self.batch)
        self.batch.release = NULL

    cdef object failure(self):
        cdef const char* message = self.stream.get_last_error(self.stream)
        return ValueError("the Arrow stream failed" + (f": {message.decode(errors='replace')}" if message != NULL else ""))

    # Finds the columns of a policy's fields, and of what may be told with an event. Raises InvalidEvent for one of a type that
    # holds no values.
    cdef int look_for(self, Book book) except -1:
        cdef uint32_t i
        cdef Column* column
        paths = row_paths(book)
        free(self.column)
        free(self.dictionaries)
        self.column = self.dictionaries = NULL
        self.column = <Column*>take(len(paths), sizeof(Column))
        self.dictionaries = <Column*>take(len(paths), sizeof(Column))
        self.columns = {path: index for index, path in enumerate(paths)}
        for i, path in enumerate(paths):
            column = &self.column[i]
            column.schema = find_column(&self.schema, path, column.path)
            if column.schema == NULL and len(path) > 1:  # flattened
                column.schema = find_column(&self.schema, (".".join(path),), column.path)
            if column.schema == NULL:
                continue
            if column.schema.dictionary != NULL:
                column.is_dictionary, column.values = 1, &self.dictionaries[i]
                read_format(column.values, column.schema.dictionary.format.decode(), path)
            read_format(column, column.schema.format.decode(), path)
        told = paths[book.field_count :]
        self.told = [path for path in told if self.column[<uint32_t>self.columns[path]].schema != NULL]
        self.book = book
        if self.batch.release != NULL:
            self.bind()

    def next_batch(self) -> int:
        """Turns to the next batch of the stream; its rows, or -1 at the end. Lets go of the GIL: the source may need it."""
        cdef int failed
        if self.batch.release != NULL:
            self.first += self.batch.length
        with nogil:
            self.let_go()
            failed = self.stream.get_next(self.stream, &self.batch)
        if failed:
            raise self.failure()
        if self.batch.release == NULL:
            self.batch.length = 0
            return -1
        self.bind()
        return self.batch.length

    # The columns' arrays in the batch at hand.
    cdef int bind(self) except -1:
        cdef int64_t i
        cdef const ArrowArray* array
        if self.batch.n_children != self.schema.n_children:
            raise ValueError("the Arrow stream's batch is not as its schema says")
        if self.batch.null_count and self.batch.n_buffers and self.batch.buffers[0] != NULL:
            raise ValueError("an Arrow stream of events can't have rows that are null")
        for i in range(len(self.columns)):
            self.column[i].array = NULL
            if self.column[i].schema != NULL:
                array = column_array(&self.batch, self.column[i].path)
                if array.n_buffers < buffers_of(self.column[i].form) or array.length < self.batch.length + self.batch.offset:
                    raise ValueError("the Arrow stream's batch is not as its schema says")
                self.column[i].array = array
                if self.column[i].values != NULL:
                    self.column[i].values.array = array.dictionary
        return 0

    # The row's value at the path as a Python object; None where it is null.
    cdef object cell(self, tuple path):
        return cell_object(&self.column[<uint32_t>self.columns[path]], self.row + self.batch.offset)


# ---- the schema --------------------------------------------------------------------------------------------------------

cdef ArrowSchema* find_column(ArrowSchema* schema, tuple names, int64_t* path) except? NULL:
    cdef int64_t i
    cdef int depth
    if len(names) > ARROW_DEPTH_MAX:
        return NULL
    for depth in range(len(names)):
        name = names[depth].encode()
        path[depth] = -1
        if schema.format[0:2] != b"+s":
            return NULL
        for i in range(schema.n_children):
            if schema.children[i].name != NULL and <bytes>schema.children[i].name == name:
                path[depth] = i
                break
        if path[depth] < 0:
            return NULL
        schema = schema.children[path[depth]]
    path[len(names)] = -1
    return schema


cdef const ArrowArray* column_array(const ArrowArray* array, const int64_t* path) except NULL:
    while path[0] >= 0:
        if path[0] >= array.n_children:
            raise ValueError("the Arrow stream's batch is not as its schema says")
        array = array.children[path[0]]
        if path[1] >= 0 and (array.offset or (array.n_buffers and array.buffers[0] != NULL)):
            raise ValueError("structs with nulls or an offset can't be read from an Arrow stream: flatten them before")
        path += 1
    return array


cdef int read_format(Column* column, str format_, tuple path) except -1:
    name = ".".join(path)
    column.form = _CELL_FORMS.get(format_, CELL_OTHER)
    if format_[:4] in _INSTANT_UNITS:
        column.form, column.unit, column.has_zone = CELL_INSTANT, _INSTANT_UNITS[format_[:4]], len(format_) > 4
    elif format_.startswith("d:"):
        numbers = [int(number) for number in format_[2:].split(",")]
        column.form, column.scale = CELL_DECIMAL, numbers[1]
        column.bytes_ = (numbers[2] if len(numbers) > 2 else 128) // 8
    if column.form == CELL_OTHER or (column.form == CELL_DECIMAL and column.bytes_ not in (4, 8, 16)):
        raise InvalidEvent(
            f"{name}: the column has the Arrow type {format_!r}; cast it to text, an integer, a float, a boolean, a timestamp with a "
            "zone or a decimal of at most 128 bits", name
        )
    return 0


cdef int64_t buffers_of(uint8_t form) noexcept nogil:
    return 0 if form == CELL_ABSENT else 3 if form in (CELL_TEXT, CELL_LARGE_TEXT, CELL_TEXT_VIEW) else 2


# ---- cells -------------------------------------------------------------------------------------------------------------

cdef inline bint bit_at(const void* bits, int64_t i) noexcept nogil:
    return (<const uint8_t*>bits)[i >> 3] >> (i & 7) & 1


cdef inline bint is_null(const Column* column, int64_t row) noexcept nogil:
    cdef const ArrowArray* array = column.array
    if array == NULL or column.form == CELL_ABSENT:
        return True
    return array.n_buffers > 0 and array.buffers[0] != NULL and not bit_at(array.buffers[0], row + array.offset)


# An integer cell, of whatever width. False: it is none, or beyond int64.
cdef inline bint cell_int(const Column* column, int64_t row, int64_t* out) noexcept nogil:
    cdef const void* data = column.array.buffers[1]
    row += column.array.offset
    if column.form == CELL_INT64:
        out[0] = (<const int64_t*>data)[row]
    elif column.form == CELL_INT32:
        out[0] = (<const int32_t*>data)[row]
    elif column.form == CELL_UINT32:
        out[0] = (<const uint32_t*>data)[row]
    elif column.form == CELL_UINT64:
        out[0] = <int64_t>(<const uint64_t*>data)[row]
        return out[0] >= 0
    elif column.form == CELL_INT16:
        out[0] = (<const int16_t*>data)[row]
    elif column.form == CELL_UINT16:
        out[0] = (<const uint16_t*>data)[row]
    elif column.form == CELL_INT8:
        out[0] = (<const int8_t*>data)[row]
    elif column.form == CELL_UINT8:
        out[0] = (<const uint8_t*>data)[row]
    else:
        return False
    return True


# A text cell: False where it is none, or where its offsets make no sense.
cdef inline bint cell_text(const Column* column, int64_t row, const char** s, int64_t* n) noexcept nogil:
    cdef const ArrowArray* array = column.array
    cdef const char* view
    cdef int64_t start
    row += array.offset
    if column.form == CELL_TEXT:
        start = (<const int32_t*>array.buffers[1])[row]
        n[0] = (<const int32_t*>array.buffers[1])[row + 1] - start
        s[0] = <const char*>array.buffers[2] + start
        return start >= 0 and n[0] >= 0
    if column.form == CELL_LARGE_TEXT:
        start = (<const int64_t*>array.buffers[1])[row]
        n[0] = (<const int64_t*>array.buffers[1])[row + 1] - start
        s[0] = <const char*>array.buffers[2] + start
        return start >= 0 and n[0] >= 0
    if column.form != CELL_TEXT_VIEW:
        return False
    view = <const char*>array.buffers[1] + 16 * row
    n[0] = (<const int32_t*>view)[0]
    s[0] = view + 4
    return 0 <= n[0] <= 12 or (n[0] > 12 and view_text(array, view, n[0], s))


# A long text of a view: length, four bytes of it, buffer, offset. The last buffer has the others' sizes.
cdef inline bint view_text(const ArrowArray* array, const char* view, int64_t n, const char** s) noexcept nogil:
    cdef int64_t buffer = (<const int32_t*>view)[2], offset = (<const int32_t*>view)[3], buffers = array.n_buffers - 3
    cdef const int64_t* sizes = <const int64_t*>array.buffers[array.n_buffers - 1]
    if buffer < 0 or buffer >= buffers or offset < 0 or offset + n > sizes[buffer]:
        return False
    s[0] = <const char*>array.buffers[2 + buffer] + offset
    return True


# The column and the row that hold the value itself. False: an index beyond its dictionary.
cdef inline bint resolve(const Column** column, int64_t* row) noexcept nogil:
    cdef int64_t index
    if not column[0].is_dictionary:
        return True
    if not cell_int(column[0], row[0], &index) or column[0].values.array == NULL:
        return False
    column[0], row[0] = column[0].values, index
    return 0 <= index < column[0].array.length


# The value of a cell, where it is of an ordinary type for its field. 1: read (perhaps absent); 0: not an ordinary one.
cdef int quick_cell(Book book, uint32_t i, const Column* column, int64_t row, Reg* reg, Arena* arena) noexcept nogil:
    cdef FieldSpec* spec = &book.specs[i]
    cdef const char* s
    cdef int64_t n
    reg.present = 0
    if is_null(column, row):
        return 1
    if not resolve(&column, &row):
        return 0
    if is_null(column, row):
        return 1
    if spec.kind == KIND_STRING or spec.kind == KIND_ENUM or spec.kind == KIND_IP:
        if not cell_text(column, row, &s, &n) or n > STRING_BYTES_MAX or not utf8_valid(s, <uint32_t>n):
            return 0
        if spec.kind == KIND_ENUM:
            return quick_label(book, spec, s, <uint32_t>n, reg)
        if spec.kind == KIND_IP:
            return quick_ip(s, <uint32_t>n, reg, arena)
        reg_set_text(reg, s, <uint32_t>n)
        return 1
    return quick_number(spec, column, row, reg)


cdef inline int quick_number(const FieldSpec* spec, const Column* column, int64_t row, Reg* reg) noexcept nogil:
    cdef int64_t at = row + column.array.offset
    reg.present = 1
    if spec.kind == KIND_BOOL:
        reg.v.i = column.form == CELL_BOOL and bit_at(column.array.buffers[1], at)
        return column.form == CELL_BOOL
    if spec.kind == KIND_FLOAT:
        if column.form == CELL_DOUBLE:
            reg.v.f = (<const double*>column.array.buffers[1])[at]
        elif column.form == CELL_FLOAT:
            reg.v.f = (<const float*>column.array.buffers[1])[at]
        else:
            return 0
        return isfinite(reg.v.f) != 0
    if spec.kind == KIND_TIMESTAMP and column.form == CELL_INSTANT and column.has_zone:
        if not instant_ms(column, (<const int64_t*>column.array.buffers[1])[at], &reg.v.i):
            return 0
    elif spec.kind == KIND_DECIMAL or not cell_int(column, row, &reg.v.i) or reg.v.i == INT64_MIN:
        return 0
    return spec.kind != KIND_TIMESTAMP or -TIME_MAX <= reg.v.i <= TIME_MAX


# Floored, as `epoch_ms` does it.
cdef inline bint instant_ms(const Column* column, int64_t value, int64_t* out) noexcept nogil:
    if column.unit < 0:
        return not mul_overflow(value, -column.unit, out)
    out[0] = value // column.unit
    if value % column.unit < 0:
        out[0] -= 1
    return True


# The same cell as a Python object, for `slow_value` and for messages.
cdef object cell_object(const Column* column, int64_t row):
    cdef int64_t at, whole
    cdef const char* s
    cdef int64_t n
    if is_null(column, row):
        return None
    if not resolve(&column, &row):
        raise ValueError("the Arrow stream is damaged: an index lies beyond its dictionary")
    if is_null(column, row):
        return None
    at = row + column.array.offset
    if cell_int(column, row, &whole):
        return whole
    if column.form == CELL_UINT64:
        return (<const uint64_t*>column.array.buffers[1])[at]
    if column.form == CELL_BOOL:
        return bool(bit_at(column.array.buffers[1], at))
    if column.form == CELL_DOUBLE:
        return (<const double*>column.array.buffers[1])[at]
    if column.form == CELL_FLOAT:
        return (<const float*>column.array.buffers[1])[at]
    if column.form == CELL_INSTANT:
        return instant_object(column, (<const int64_t*>column.array.buffers[1])[at])
    if column.form == CELL_DECIMAL:
        return decimal_object(column, (<const char*>column.array.buffers[1] + at * column.bytes_)[: column.bytes_])
    if not cell_text(column, row, &s, &n):
        raise ValueError("the Arrow stream is damaged: a text lies outside of its buffer")
    text = s[:n]
    return text.decode() if n <= UINT32_MAX and utf8_valid(s, <uint32_t>n) else text


cdef object instant_object(const Column* column, int64_t value):
    cdef int64_t ms
    if not instant_ms(column, value, &ms):
        return value
    try:
        moment = _EPOCH + ms * _MILLISECOND
    except OverflowError:
        return ms
    return moment if column.has_zone else moment.replace(tzinfo=None)


cdef object decimal_object(const Column* column, bytes raw):
    number = int.from_bytes(raw, "little", signed=True)
    return _decimal.Decimal(number).scaleb(-column.scale, _EXACT) if column.scale else number


# ---- rows --------------------------------------------------------------------------------------------------------------

# The paths of the columns that a policy's events have, and of what may be told with one.
cdef list row_paths(Book book):
    told = [(name,) for name in (*book.names[book.field_count + book.derived_count :], "final")]
    return [field.path for field in book.plan.fields] + told


# A row of the batch as it is; False where a value is of no ordinary type.
cdef inline bint quick_row(Book book, Frame* frame, ArrowRows rows, int64_t row) noexcept:
    cdef uint32_t i
    row += rows.batch.offset
    for i in range(book.field_count):
        if not quick_cell(book, i, &rows.column[i], row, &frame.regs[i], &frame.arena):
            return False
    return True


# The row at hand, whatever its values are; raises InvalidEvent for one that doesn't fit.
cdef int read_row(Book book, Frame* frame, ArrowRows rows) except -1:
    cdef int64_t row = rows.row + rows.batch.offset
    cdef uint32_t i
    if rows.row >= rows.batch.length:
        raise ValueError("there is no row at hand")
    if rows.book is not book:
        rows.look_for(book)
    for i in range(book.field_count):
        if not quick_cell(book, i, &rows.column[i], row, &frame.regs[i], &frame.arena):
            slow_value(book, i, cell_object(&rows.column[i], row), &frame.regs[i], &frame.arena)
    return 0


# What the row at hand tells beside the event.
cdef dict told_cells(ArrowRows rows):
    pairs = [(path[0], rows.cell(path)) for path in rows.told]
    return {name: value for name, value in pairs if value is not None}
