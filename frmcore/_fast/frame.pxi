# The working memory of one call: registers, hashes of keys, texts. Frames are pooled, so that a mapping whose getters call
# back into the engine gets a frame of its own, and so that the steady state allocates nothing.

cdef struct Member:  # what one group makes of the event at hand
    uint8_t is_member
    uint8_t was_member  # when it was lifted
    uint32_t handle  # of the key's ring, where it was looked up already; 0: it was not, or there is none
    Hash key

cdef struct Verdict:  # what the rules of a point said
    int32_t outcome
    int32_t intended  # of the holdout: what the rules asked for
    uint8_t flags  # of the record
    int64_t score
    const uint8_t* alerts  # as the record has them
    uint32_t alerts_size
    uint32_t fired_count, shadow_count, unknown_count, exempted_count, note_count
    uint32_t* fired  # rule indices, in file order
    uint32_t* shadow
    uint32_t* unknown
    uint32_t* exempted
    uint32_t* notes  # a Note and its argument, one after the other

cdef struct Looked:  # one lookup of one group for the event at hand
    Hash key
    uint32_t handle
    uint8_t present

cdef struct Telling:  # one update field with its new value, not yet applied
    uint32_t index  # of the update; update_count means `final`
    Reg value

cdef struct Frame:
    Frame* next
    Reg* regs
    Hash* hashes  # of the registers that are keys
    Hash* probe_hashes  # by probe
    Looked* looked  # by lookup
    Member* members  # by group
    Member* members_before
    int64_t* columns  # of all groups, one after the other
    int64_t* columns_before
    Telling* tellings
    int64_t told_at
    uint32_t told_count  # of the tellings that the record must name
    Verdict verdict
    Arena arena
    Hash id_hash
    uint64_t kind_bit
    int64_t time
    uint32_t book  # index of the policy it was made for
    bint late
    bint is_hashed  # its id and its keys are
    bint holds_lock
    bint pauses_gc


cdef Frame* frame_new(Book book, Layout layout) except NULL:
    cdef Frame* frame = <Frame*>take(1, sizeof(Frame))
    frame.book = book.index
    arena_init(&frame.arena)
    try:
        frame.regs = <Reg*>take(book.register_count, sizeof(Reg))
        frame.hashes = <Hash*>take(book.register_count, sizeof(Hash))
        frame.probe_hashes = <Hash*>take(book.probe_count, sizeof(Hash))
        frame.looked = <Looked*>take(layout.lookup_count, sizeof(Looked))
        frame.members = <Member*>take(layout.group_count, sizeof(Member))
        frame.members_before = <Member*>take(layout.group_count, sizeof(Member))
        frame.columns = <int64_t*>take(layout.column_count, sizeof(int64_t))
        frame.columns_before = <int64_t*>take(layout.column_count, sizeof(int64_t))
        frame.tellings = <Telling*>take(book.update_count + 1, sizeof(Telling))
        frame.verdict.fired = <uint32_t*>take(book.rule_count, sizeof(uint32_t))
        frame.verdict.shadow = <uint32_t*>take(book.rule_count, sizeof(uint32_t))
        frame.verdict.unknown = <uint32_t*>take(book.rule_count, sizeof(uint32_t))
        frame.verdict.exempted = <uint32_t*>take(book.rule_count, sizeof(uint32_t))
        frame.verdict.notes = <uint32_t*>take(2 * (book.feature_count + book.rule_count + 1), sizeof(uint32_t))
        program_init_regs(book.program, frame.regs)
    except BaseException:
        frame_free(frame)
        raise
    return frame


cdef void frame_free(Frame* frame) noexcept:
    arena_free(&frame.arena)
    free(frame.regs)
    free(frame.hashes)
    free(frame.probe_hashes)
    free(frame.looked)
    free(frame.members)
    free(frame.members_before)
    free(frame.columns)
    free(frame.columns_before)
    free(frame.tellings)
    free(frame.verdict.fired)
    free(frame.verdict.shadow)
    free(frame.verdict.unknown)
    free(frame.verdict.exempted)
    free(frame.verdict.notes)
    free(frame)


cdef inline void reg_set_int(Reg* reg, int64_t value) noexcept nogil:
    reg.v.i = value
    reg.present = 1


cdef inline void reg_set_text(Reg* reg, const char* s, uint32_t n) noexcept nogil:
    reg.v.s = s
    reg.n = n
    reg.present = 1


# Copies a text into the frame's arena; False when the machine is out of memory.
cdef inline bint reg_copy_text(Reg* reg, Arena* arena, const char* s, uint32_t n) noexcept nogil:
    cdef char* copy = arena_take(arena, n)
    if copy == NULL:
        return False
    memcpy(copy, s, n)
    reg_set_text(reg, copy, n)
    return True
