# Slabs: records of one size in pages that never move, addressed by 32-bit indexes (0: none). An index is the page's
# number and the slot in the page, so an address is a shift, a mask and a multiplication away. Taking and giving back
# are O(1).

cdef extern from *:
    """
    #include <sys/mman.h>
    #define FRM_PAGE_BYTES ((size_t)2 << 20)
    #define FRM_READY 4  /* pages: as many as 170,000 decisions a second of R1 take in the 100 ms between two turns of the watcher */
    static void *frm_ready[FRM_READY];
    static int frm_ready_wanted;
    static void *frm_page_new(size_t bytes, int huge) {
        size_t room = bytes + FRM_PAGE_BYTES;
        char *start = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (start == MAP_FAILED) return NULL;
        size_t before = -(uintptr_t)start & (FRM_PAGE_BYTES - 1);
        if (before) munmap(start, before);
        munmap(start + before + bytes, room - before - bytes);
    #ifdef MADV_HUGEPAGE
        if (huge) madvise(start + before, bytes, MADV_HUGEPAGE);
    #endif
        return start + before;
    }
    static inline void frm_page_unmap(void *page, size_t bytes) { munmap(page, bytes); }
    static void *frm_ready_take(void) {
        for (int i = 0; i < FRM_READY; i++) {
            void *page = __atomic_exchange_n(&frm_ready[i], NULL, __ATOMIC_ACQ_REL);
            if (page) return page;
        }
        return NULL;
    }
    /* Zeroed memory that costs nothing until touched, aligned to a huge page; NULL: out of memory. The kernel takes 0.6 ms to
       clear a huge page when it is first touched, so one that was touched already is taken where there is one. */
    static void *frm_page_map(size_t bytes, int huge) {
        void *page = NULL;
        if (huge && bytes == FRM_PAGE_BYTES) {
            frm_ready_wanted = 1;
            page = frm_ready_take();
        }
        return page ? page : frm_page_new(bytes, huge);
    }
    /* Huge pages for whoever wants one next, cleared by the calling thread. How many it made. */
    static int frm_ready_provide(void) {
        int made = 0;
        for (int i = 0; frm_ready_wanted && i < FRM_READY; i++) {
            void *none = NULL;
            if (__atomic_load_n(&frm_ready[i], __ATOMIC_ACQUIRE)) continue;
            char *page = frm_page_new(FRM_PAGE_BYTES, 1);
            if (!page) break;
            for (size_t at = 0; at < FRM_PAGE_BYTES; at += 4096) ((volatile char *)page)[at] = 0;
            if (__atomic_compare_exchange_n(&frm_ready[i], &none, page, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) made++;
            else munmap(page, FRM_PAGE_BYTES);
        }
        return made;
    }
    static void frm_ready_drop(void) {
        void *page;
        frm_ready_wanted = 0;
        while ((page = frm_ready_take())) munmap(page, FRM_PAGE_BYTES);
    }
    static inline void frm_page_forget(void *start, size_t bytes) { madvise(start, bytes, MADV_DONTNEED); }
    /* Moves a page of small ones, of which the first `used` bytes count, into a huge one at the same address. Without the
       memory for it, or outside Linux, all stays as it is. Takes what the first touch of a huge page takes anyway. */
    static void frm_page_make_huge(void *start, size_t used) {
    #ifdef MREMAP_FIXED
        char *huge = frm_page_map(FRM_PAGE_BYTES, 1);
        if (huge == NULL) return;
        memcpy(huge, start, used);
        if (mremap(huge, FRM_PAGE_BYTES, FRM_PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, start) == MAP_FAILED)
            munmap(huge, FRM_PAGE_BYTES);
    #endif
    }
    """
    void* page_map "frm_page_map"(uint64_t bytes, bint huge) noexcept nogil
    void page_unmap "frm_page_unmap"(void* page, uint64_t bytes) noexcept nogil
    # The contents are lost; the memory costs nothing until touched again.
    void page_forget "frm_page_forget"(void* start, uint64_t bytes) noexcept nogil
    void page_make_huge "frm_page_make_huge"(void* start, uint64_t used) noexcept nogil
    int ready_provide "frm_ready_provide"() noexcept nogil
    void ready_drop "frm_ready_drop"() noexcept nogil

cdef enum:
    PAGE_BYTES = 2097152  # one huge page: 10-30 % faster cold look-ups than 4 KiB pages
    PAGE_GRAIN = 4096  # what a first page, which is not a huge one, grows by: a slab with few records stays small
    HUGE_FROM = 524288  # bytes at which a first page becomes a huge one
    SLAB_INDEX_END = 268435456  # callers keep a class in an index's top 4 bits
    SLAB_KEPT_BYTES = 65536  # an empty slab keeps no larger page: a lone record's comings and goings are cheap

cdef struct SlabPage:
    char* base  # NULL: returned to the system
    uint32_t freed  # index of the record given back last, 0: none
    uint32_t fresh  # slots from here on were never taken
    uint32_t live
    uint32_t next  # in the list of pages with room, or of the vacant ones
    uint32_t previous

cdef struct Slab:
    SlabPage* pages  # [0] is not used: no index is 0, and 0 ends a list
    uint64_t live  # records
    uint64_t reserved  # bytes of pages
    uint64_t page_bytes
    uint32_t record_size
    uint32_t cell_size  # what a slot takes: the record, or with MALLOC_RECORDS the address of its own malloc
    uint32_t page_slots
    uint32_t huge_from  # records in the first page that make it a huge one
    uint32_t slot_bits
    uint32_t page_count
    uint32_t page_room  # allocated length of `pages`
    uint32_t roomy  # the page that got room last: the likely fullest, so the others can empty
    uint32_t vacant  # pages returned to the system, whose numbers are taken again first


cdef inline uint64_t round_up(uint64_t n, uint64_t grain) noexcept nogil:
    return (n + grain - 1) // grain * grain


cdef void slab_init(Slab* slab, uint32_t record_size) noexcept nogil:
    memset(slab, 0, sizeof(Slab))
    slab.record_size = <uint32_t>round_up(record_size, 8)
    slab.cell_size = sizeof(void*) if MALLOC_RECORDS else slab.record_size
    slab.page_slots = PAGE_BYTES // slab.record_size if slab.record_size < PAGE_BYTES else 1
    slab.page_bytes = round_up(<uint64_t>slab.page_slots * slab.record_size, PAGE_GRAIN)
    slab.huge_from = HUGE_FROM // slab.cell_size if slab_mapped_bytes(slab) == PAGE_BYTES else UINT32_MAX
    while (<uint32_t>1 << slab.slot_bits) < slab.page_slots:
        slab.slot_bits += 1


cdef void slab_destroy(Slab* slab) noexcept nogil:
    cdef uint32_t number
    for number in range(1, slab.page_count + 1):
        if slab.pages[number].base != NULL:
            if MALLOC_RECORDS:
                slab_free_records(slab, number)
            page_unmap(slab.pages[number].base, slab_mapped_bytes(slab))
    free(slab.pages)
    slab_init(slab, slab.record_size)


cdef inline uint64_t* slab_cell(const Slab* slab, uint32_t index) noexcept nogil:
    cdef uint32_t slot = index & ((<uint32_t>1 << slab.slot_bits) - 1)
    return <uint64_t*>(slab.pages[index >> slab.slot_bits].base + <uint64_t>slot * slab.cell_size)


cdef inline void* slab_at(const Slab* slab, uint32_t index) noexcept nogil:
    cdef uint64_t* cell = slab_cell(slab, index)
    return <void*>cell[0] if MALLOC_RECORDS else <void*>cell


# A free slot's cell is the next free index, shifted, with the lowest bit set; an address never has it.
cdef void slab_free_records(Slab* slab, uint32_t number) noexcept nogil:
    cdef uint32_t slot
    cdef uint64_t* cell
    for slot in range(slab.pages[number].fresh):
        cell = slab_cell(slab, number << slab.slot_bits | slot)
        if not cell[0] & 1:
            free(<void*>cell[0])


# Contents undefined; 0: out of memory or of indexes.
cdef uint32_t slab_take(Slab* slab) noexcept nogil:
    cdef void* record = NULL
    if MALLOC_RECORDS:
        record = malloc(slab.record_size)
        if record == NULL:
            return 0
    if not slab_reserve(slab):
        free(record)
        return 0
    cdef uint32_t number = slab.roomy
    cdef uint32_t index = slab_take_slot(slab, number)
    if MALLOC_RECORDS:
        slab_cell(slab, index)[0] = <uint64_t>record
    slab.pages[number].live += 1
    slab.live += 1
    if not slab_page_has_room(slab, number):
        slab_unlink(slab, number)
    return index


cdef inline uint32_t slab_take_slot(Slab* slab, uint32_t number) noexcept nogil:
    cdef SlabPage* page = &slab.pages[number]
    cdef uint32_t index = page.freed
    cdef uint64_t before
    if index:
        page.freed = <uint32_t>(slab_cell(slab, index)[0] >> 1)
        return index
    before = slab_page_bytes(slab, number)
    page.fresh += 1
    slab.reserved += slab_page_bytes(slab, number) - before
    if number == 1 and page.fresh == slab.huge_from:
        page_make_huge(page.base, <uint64_t>page.fresh * slab.cell_size)
    return number << slab.slot_bits | (page.fresh - 1)


cdef void slab_give(Slab* slab, uint32_t index) noexcept nogil:
    cdef uint32_t number = index >> slab.slot_bits
    cdef SlabPage* page = &slab.pages[number]
    cdef uint64_t* cell = slab_cell(slab, index)
    if not slab_page_has_room(slab, number):
        slab_link(slab, number)
    if MALLOC_RECORDS:
        free(<void*>cell[0])
    cell[0] = <uint64_t>page.freed << 1 | 1
    page.freed = index
    page.live -= 1
    slab.live -= 1
    if page.live == 0:
        slab_shrink(slab, number)


# The only page with room stays while others are full: a count that swings about a page's end would map and clear 2 MiB
# each time.
cdef void slab_shrink(Slab* slab, uint32_t number) noexcept nogil:
    if slab.pages[number].next or slab.pages[number].previous:
        slab_close_page(slab, number)
    if slab.live == 0 and <uint64_t>slab.pages[slab.roomy].fresh * slab.record_size > SLAB_KEPT_BYTES:
        slab_close_page(slab, slab.roomy)


# True: the next take can't fail.
cdef inline bint slab_reserve(Slab* slab) noexcept nogil:
    return slab.roomy != 0 or slab_open_page(slab)


cdef bint slab_open_page(Slab* slab) noexcept nogil:
    cdef uint32_t number = slab.vacant if slab.vacant else slab.page_count + 1
    if not slab.vacant and not slab_grow_pages(slab, number):
        return False
    cdef SlabPage* page = &slab.pages[number]
    cdef char* base = <char*>page_map(slab_mapped_bytes(slab), number > 1)
    if base == NULL:
        return False
    if slab.vacant:
        slab.vacant = page.next
    else:
        slab.page_count = number
    memset(page, 0, sizeof(SlabPage))
    page.base = base
    slab.reserved += slab_page_bytes(slab, number)
    slab_link(slab, number)
    return True


cdef bint slab_grow_pages(Slab* slab, uint32_t number) noexcept nogil:
    cdef uint32_t room = 2 * slab.page_room if slab.page_room else 4
    cdef SlabPage* pages
    if <uint64_t>(number + 1) << slab.slot_bits > SLAB_INDEX_END:
        return False
    if number < slab.page_room:
        return True
    pages = <SlabPage*>realloc(slab.pages, room * sizeof(SlabPage))
    if pages == NULL:
        return False
    slab.pages = pages
    slab.page_room = room
    return True


cdef void slab_close_page(Slab* slab, uint32_t number) noexcept nogil:
    cdef SlabPage* page = &slab.pages[number]
    slab.reserved -= slab_page_bytes(slab, number)
    slab_unlink(slab, number)
    page_unmap(page.base, slab_mapped_bytes(slab))
    page.base = NULL
    page.next = slab.vacant
    slab.vacant = number


# Differs from the accounted bytes with MALLOC_RECORDS only: every build accounts alike.
cdef inline uint64_t slab_mapped_bytes(const Slab* slab) noexcept nogil:
    return round_up(<uint64_t>slab.page_slots * slab.cell_size, PAGE_GRAIN)


# The first page is committed as it is touched until it is a huge page, as later ones are from the start: committed whole.
cdef inline uint64_t slab_page_bytes(const Slab* slab, uint32_t number) noexcept nogil:
    if number > 1 or slab.pages[number].fresh >= slab.huge_from:
        return slab.page_bytes
    return round_up(<uint64_t>slab.pages[number].fresh * slab.record_size, PAGE_GRAIN)


cdef inline bint slab_page_has_room(const Slab* slab, uint32_t number) noexcept nogil:
    return slab.pages[number].freed != 0 or slab.pages[number].fresh < slab.page_slots


cdef inline void slab_link(Slab* slab, uint32_t number) noexcept nogil:
    cdef SlabPage* page = &slab.pages[number]
    page.previous = 0
    page.next = slab.roomy
    if page.next:
        slab.pages[page.next].previous = number
    slab.roomy = number


cdef inline void slab_unlink(Slab* slab, uint32_t number) noexcept nogil:
    cdef SlabPage* page = &slab.pages[number]
    if page.previous:
        slab.pages[page.previous].next = page.next
    else:
        slab.roomy = page.next
    if page.next:
        slab.pages[page.next].previous = page.previous
    page.next = page.previous = 0


def provide_pages():
    """Clears huge pages ahead of need, for all engines of the process: for a thread beside those that decide, as it lets go
    of the GIL for some milliseconds. Nothing until an engine has grown to one. Returns how many."""
    with nogil:
        made = ready_provide()
    return made


def drop_pages():
    """Gives those that nobody took back to the system, until an engine wants one again."""
    with nogil:
        ready_drop()


@cython.final
cdef class _SlabDoor:
    """A slab of `record_size` bytes (at least 8) for tests; a record holds one number at its start and its end."""

    cdef Slab slab

    def __cinit__(self, record_size: int):
        if not 8 <= record_size <= 1 << 24:
            raise ValueError("record_size must be 8 to 2**24 bytes")
        slab_init(&self.slab, record_size)

    def __dealloc__(self):
        slab_destroy(&self.slab)

    def take(self, value: int) -> int:
        cdef int64_t number = value
        cdef uint32_t index = slab_take(&self.slab)
        cdef char* record
        if index == 0:
            raise MemoryError
        record = <char*>slab_at(&self.slab, index)
        memcpy(record, &number, 8)
        memcpy(record + self.slab.record_size - 8, &number, 8)
        return index

    def give(self, index: int) -> None:
        slab_give(&self.slab, index)

    def read(self, index: int) -> tuple[int, int]:
        cdef char* record = <char*>slab_at(&self.slab, index)
        return (<int64_t*>record)[0], (<int64_t*>(record + self.slab.record_size - 8))[0]

    def pages(self) -> int:
        """How many pages are mapped."""
        return sum(self.slab.pages[number].base != NULL for number in range(1, self.slab.page_count + 1))

    @property
    def live(self) -> int:
        return self.slab.live

    @property
    def reserved(self) -> int:
        return self.slab.reserved

    @property
    def record_size(self) -> int:
        return self.slab.record_size
