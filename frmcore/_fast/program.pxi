# A plan's program, verified and loaded: instructions, sets, patterns, zones and constants as the machine reads them.

from frmcore.plan import Dfa as _Dfa
from frmcore.plan import PrivateText as _PrivateText
from frmcore.plan import Rep as _Rep
from frmcore.verify import SHAPES as _SHAPES
from frmcore.verify import verify as _verify


@cython.final
cdef class Program:
    """The program of one plan. It is not changed by running, so one engine's calls share it.

    `reps`: what each register holds (plan.Rep, None for an unused one). `runs_python`: a pattern needs google-re2, which lets
    go of the GIL while it searches, so the caller must keep other threads out of the registers by itself.
    """

    cdef Machine machine
    cdef readonly tuple reps
    cdef readonly uint32_t registers
    cdef readonly bint runs_python
    cdef Lists lists
    cdef tuple segments
    cdef list kept  # texts and patterns that the machine points to
    cdef Instruction* code
    cdef IntSet* int_sets
    cdef TextSet* text_sets
    cdef uint32_t sets
    cdef Pattern* patterns
    cdef DfaTable* dfas
    cdef uint32_t pattern_count
    cdef ZoneTable* zones
    cdef uint32_t zone_count
    cdef LookupTable* lookups
    cdef uint32_t lookup_count
    cdef uint64_t lookup_text_bytes
    cdef Reg* constants
    cdef uint16_t* constant_registers
    cdef uint32_t constant_count

    def __cinit__(self, plan not None, Lists lists not None, bytes private_key not None):
        """Verifies and loads `plan` (a plan.Plan). `lists`: its lists, in its order. `private_key`: 16 bytes that private
        constants are hashed with. Raises ValueError for a plan that must not run; see frmcore/verify.py."""
        cdef HashKey key = hash_key(private_key)
        self.reps = _verify(plan)
        self.registers = plan.registers
        self.lists = lists
        self.kept = []
        if len(lists.tables) < len(plan.lists):
            raise ValueError(f"the plan has {len(plan.lists)} lists, not {len(lists.tables)}")
        self.segments = _segments_of(plan)
        self.load_code(plan.code)
        self.load_sets(plan.sets, key)
        self.load_patterns(plan.patterns)
        self.load_zones(plan.zones)
        self.load_lookups(plan.lookups, key)
        self.load_constants(plan.constants, key)
        self.machine.code = self.code
        self.machine.int_sets = self.int_sets
        self.machine.text_sets = self.text_sets
        self.machine.patterns = self.patterns
        self.machine.zones = self.zones
        self.machine.lists = lists.refs
        self.machine.lookups = self.lookups

    cdef int load_code(self, code) except -1:
        cdef uint32_t i
        cdef Instruction* at
        self.code = <Instruction*>take(len(code), sizeof(Instruction))
        for i, instr in enumerate(code):
            scales = [sizeof(Reg) if what in "IFT=?" else 1 for what in _SHAPES[instr.op]]
            numbers = [number * scale for number, scale in zip(instr[1:], scales)] + [0] * 5
            at = self.code + i
            at.op = instr.op
            at.dst, at.a, at.b, at.c, at.d = numbers[:5]
        return 0

    cdef int load_sets(self, sets, HashKey key) except -1:
        self.int_sets = <IntSet*>take(len(sets), sizeof(IntSet))
        self.text_sets = <TextSet*>take(len(sets), sizeof(TextSet))
        self.sets = <uint32_t>len(sets)
        for index, values in enumerate(sets):
            if all(isinstance(value, int) for value in values):
                int_set_load(self.int_sets + <uint32_t>index, values)
            else:
                text_set_load(self.text_sets + <uint32_t>index, [self.text(value, key) for value in values])
        return 0

    cdef int load_patterns(self, patterns) except -1:
        self.patterns = <Pattern*>take(len(patterns), sizeof(Pattern))
        self.dfas = <DfaTable*>take(len(patterns), sizeof(DfaTable))
        self.pattern_count = <uint32_t>len(patterns)
        for index, pattern in enumerate(patterns):
            self.load_pattern(<uint32_t>index, pattern)
        return 0

    cdef int load_pattern(self, uint32_t index, pattern) except -1:
        if isinstance(pattern, _Dfa):
            dfa_load(self.dfas + index, pattern)
            self.patterns[index].dfa = self.dfas + index
            return 0
        import re2  # brought in by the first pattern that needs it

        options = re2.Options()
        options.never_capture = True
        options.log_errors = False
        compiled = re2.compile(pattern.pattern, options)
        self.kept.append(compiled)
        self.patterns[index].re2 = <PyObject*>compiled
        self.runs_python = True
        return 0

    cdef int load_zones(self, zones) except -1:
        self.zones = <ZoneTable*>take(len(zones), sizeof(ZoneTable))
        self.zone_count = <uint32_t>len(zones)
        for index, zone in enumerate(zones):
            zone_load(self.zones + <uint32_t>index, zone)
        return 0

    cdef int load_lookups(self, lookups, HashKey key) except -1:
        self.lookups = <LookupTable*>take(len(lookups), sizeof(LookupTable))
        self.lookup_count = <uint32_t>len(lookups)
        for index, table in enumerate(lookups):
            keys, values = table.keys, table.values
            if table.key == _Rep.TEXT:
                keys = [self.text(each, key) for each in keys]
            if table.value == _Rep.TEXT:
                values = [self.text(each, key) for each in values]
            self.lookup_text_bytes += sum([len(each) for each in (*keys, *values) if isinstance(each, bytes)])
            lookup_load(self.lookups + <uint32_t>index, table, keys, values)
        return 0

    cdef int load_constants(self, constants, HashKey key) except -1:
        cdef uint32_t i
        self.constants = <Reg*>take(len(constants), sizeof(Reg))
        self.constant_registers = <uint16_t*>take(len(constants), sizeof(uint16_t))
        for i, (register, value) in enumerate(constants):
            if not isinstance(value, (int, float)):
                value = self.text(value, key)
            self.constant_registers[i] = register
            reg_set(self.constants + i, self.reps[register], value)
        self.constant_count = <uint32_t>len(constants)
        return 0

    # Bytes that live as long as the program.
    cdef bytes text(self, value, HashKey key):
        cdef bytes text
        private = isinstance(value, _PrivateText)
        value = value.text if private else value
        text = value.encode() if isinstance(value, str) else value
        if private:
            text = private_text(key, text)
        self.kept.append(text)
        return text

    cdef uint64_t lookup_bytes(self) noexcept:
        cdef uint64_t total = self.lookup_text_bytes
        cdef uint32_t i
        for i in range(self.lookup_count):
            total += lookup_bytes(self.lookups + i)
        return total

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.sets):
            free(self.int_sets[i].items)
            free(self.text_sets[i].items)
            free(self.text_sets[i].slots)
        for i in range(self.pattern_count):
            dfa_free(self.dfas + i)
        for i in range(self.zone_count):
            free(self.zones[i].at)
        for i in range(self.lookup_count):
            lookup_free(self.lookups + i)
        free(self.lookups)
        free(self.int_sets)
        free(self.text_sets)
        free(self.patterns)
        free(self.dfas)
        free(self.code)
        free(self.zones)
        free(self.constants)
        free(self.constant_registers)

    @property
    def overflows(self):
        """Int results so far that int64 does not hold; they were absent."""
        return self.machine.overflows

    def run(self, uint32_t start, uint32_t end, list values not None, int64_t event_time=0, bint traced=False, uint32_t times=1):
        """Runs the segment (start, end) `times` times on registers filled with `values`, and returns all registers: int, float,
        bytes, None for absent. A value is an int, a float, a str or bytes as the register's rep asks; constants fill themselves.
        The door for tests and measurements. Raises ValueError for what is no segment or no list of all registers."""
        cdef Reg* regs
        cdef Arena arena
        cdef uint32_t i
        if (start, end) not in self.segments or len(values) != self.registers:
            raise ValueError(f"({start}, {end}) is no segment, or {len(values)} values are not {self.registers}")
        texts = [value.encode() if isinstance(value, str) else value for value in values]
        regs = <Reg*>take(self.registers, sizeof(Reg))
        arena_init(&arena)
        try:
            for i, value in enumerate(texts):
                if value is not None and self.reps[i] is not None:
                    reg_set(regs + i, self.reps[i], value)
            program_init_regs(self, regs)
            for i in range(times):
                arena_reset(&arena)
                program_run(&self.machine, regs, start, end, &arena, event_time, traced)
            return [reg_get(regs + i, self.reps[i]) for i in range(self.registers)]
        finally:
            arena_free(&arena)
            free(regs)


# Fills the constants' registers of a fresh (zeroed) file. Nothing ever writes to them again.
cdef void program_init_regs(Program program, Reg* regs) noexcept:
    cdef uint32_t i
    for i in range(program.constant_count):
        regs[program.constant_registers[i]] = program.constants[i]


cdef tuple _segments_of(plan):
    codes = (*(group.code for group in plan.groups), *(point.code for point in plan.points))
    return tuple((segment.start, segment.end) for segment in (plan.derive, plan.keys, plan.compute, *codes))


# Zeroed memory for `count` (or one) of a size.
cdef void* take(size_t count, size_t size) except NULL:
    cdef void* memory = calloc(count if count > 0 else 1, size)
    if memory == NULL:
        raise MemoryError
    return memory


# The form that private values have in registers: the 16 bytes of their hash.
cdef bytes private_text(HashKey key, bytes text):
    cdef Hash hash = hash_text(key, text, <uint32_t>len(text))
    return (<char*>&hash)[:sizeof(Hash)]


cdef int zone_load(ZoneTable* table, zone) except -1:
    cdef uint32_t i
    cdef uint32_t count = <uint32_t>len(zone.at_ms)
    table.at = <int64_t*>take(2 * count, sizeof(int64_t))
    table.offset = table.at + count
    table.count = count
    for i in range(count):
        table.at[i] = zone.at_ms[i]
        table.offset[i] = zone.offset_ms[i]
    return 0


# `value` must outlive the register when it is bytes.
cdef int reg_set(Reg* reg, rep, value) except -1:
    cdef bytes text
    if rep == _Rep.INT:
        reg.v.i = value
    elif rep == _Rep.FLOAT:
        reg.v.f = value
    else:
        text = value
        reg.v.s = text
        reg.n = <uint32_t>len(text)
    reg.present = 1
    return 0


cdef object reg_get(const Reg* reg, rep):
    if not reg.present or rep is None:
        return None
    if rep == _Rep.INT:
        return reg.v.i
    return reg.v.f if rep == _Rep.FLOAT else reg.v.s[:reg.n]
