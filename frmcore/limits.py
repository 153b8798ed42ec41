"""Every bound, by name, with its reason. Nothing that comes from outside is unbounded.

The first part bounds the text of a policy (who writes one may be hostile, or a generator gone wild); the second
bounds what an event may bring; the third holds the defaults of the policy section `limits:`, which is part of the
policy's hash because it changes decisions.
"""

from __future__ import annotations

from typing import Final

# -- the text of a policy ----------------------------------------------------------------------------------------
POLICY_BYTES_MAX: Final = 4 << 20  # all files of a policy together: the largest rule books we know are below 1 MiB
POLICY_FILES_MAX: Final = 256  # files that one policy includes
YAML_DEPTH_MAX: Final = 32  # nesting of the envelope; a policy needs 6
YAML_NODES_MAX: Final = 500_000  # counted after aliases are expanded, which is what stops an alias bomb
EXPRESSION_BYTES_MAX: Final = 16_384  # one expression; beyond it nobody can review it
EXPRESSION_DEPTH_MAX: Final = 64  # nesting of one expression; keeps every recursion far from Python's limit
PROBLEMS_MAX: Final = (
    200  # mistakes reported at once; beyond it the text is no policy, and each costs a search for names
)
PARAMS_MAX: Final = 1_024
ENUM_VALUES_MAX: Final = 4_096  # values of one enum; the longest real one, merchant categories, has about 1,000
RULES_MAX: Final = 4_096
FEATURES_MAX: Final = 1_024
FIELDS_MAX: Final = 256  # fields, derived fields and updates together
LISTS_MAX: Final = 256
KINDS_MAX: Final = 63  # kinds of events: bits of one word on the hot path, one of which is for kinds of older policies
RULE_GROUPS_MAX: Final = 64  # groups that rules have: likewise, and all are theirs
KEY_PARTS_MAX: Final = 8  # fields of one composite key; a key of more names an event, not an entity
GROUP_COLUMNS_MAX: Final = 16  # different values in one ring; aggregates that look at more are kept in several
POINTS_MAX: Final = 32
OUTCOMES_MAX: Final = 16
BREAKER_MIN_MAX: Final = 1_000_000_000  # decisions of which a breaker's share is taken
SET_VALUES_MAX: Final = 10_000  # literals in one `in (...)`; more belong into a list
LIST_FILE_BYTES_MAX: Final = 256 << 20  # one list file: ten million entries of 26 bytes
LOOKUPS_MAX: Final = 64
LOOKUP_ROWS_MAX: Final = 1_000_000  # of one lookup: all known BINs are fewer
LOOKUP_FILE_BYTES_MAX: Final = 64 << 20  # one file of a lookup
LIST_CHANGE_VALUES: Final = 10_000  # values in the record of one change of a list: 1-2 MiB of journal
NAME_BYTES_MAX: Final = 128  # an identifier
REGISTERS_MAX: Final = 32_768  # operands of the program are 16 bits wide
PROGRAM_LENGTH_MAX: Final = 60_000  # instructions: jump targets are 16 bits wide
REGEX_BYTES_MAX: Final = 1_024  # one pattern
REGEX_STATES_MAX: Final = 2_048  # states of one DFA (512 KiB at 256 classes); beyond it google-re2 runs the pattern
SCORE_MAX: Final = 1_000_000  # +-: one rule's score or a threshold; 4,096 of them stay far below 64 bits
TABLES_MAX: Final = 64
TABLE_ROWS_MAX: Final = 1_000  # of one decision table: a row is a rule, and nobody reviews more at once
TABLE_COLUMNS_MAX: Final = 64
TABLE_CELL_MAX: Final = 2_000  # characters of one cell
TABLE_BYTES_MAX: Final = 4 << 20  # one table's file
TABLE_UNPACKED_MAX: Final = 64 << 20  # what all parts of a workbook may unpack to: a zip bomb is refused before that
TEST_EVENTS_MAX: Final = 100_000  # events of one test of a policy, repetitions counted: a second or two
WINDOW_MS_MAX: Final = 3_660 * 86_400_000  # ten years and a bit

# -- what an event may bring -------------------------------------------------------------------------------------
STRING_BYTES_MAX: Final = 16_384  # one string of an event, as UTF-8
ID_BYTES_MAX: Final = 512  # the event's id
JSON_BYTES_MAX: Final = 1 << 20  # one event as JSON
FRAME_BYTES_MAX: Final = 4 << 20  # one frame of the owner's socket: a policy with its files has to fit too
BATCH_EVENTS_MAX: Final = 256  # events of one frame: nobody waits longer than for as many decisions of somebody else's
TIME_MS_MAX: Final = 8_640_000_000_000_000  # +-: the range of an ECMAScript Date, years -271821 to 275760
SECONDS_MAX: Final = 100_000_000_000  # a time of today below it (1973) is one in seconds, not in milliseconds
INT_MAX: Final = 2**63 - 1  # ints, decimals and money are 64-bit; -2**63 is left out so that negation can't overflow

# -- defaults of `limits:` ---------------------------------------------------------------------------------------
HORIZON_MS: Final = 86_400_000  # how late an event may be and still be exact; how long ids are remembered
IDS_MIN: Final = 1_000_000  # ids remembered whatever their age
IDS_MAX: Final = 20_000_000  # ids remembered at most
RING_EVENTS_MAX: Final = 1_000_000  # events of one ring: one hot entity can't take all memory
MAX_MEMORY: Final = 4 << 30  # bytes that an engine's state may take, by its own account: half of a small server
MAX_MEMORY_LEAST: Final = 16 << 20  # below it nothing of use can be remembered
MAX_MEMORY_MOST: Final = 1 << 44
MAX_AHEAD_MS: Final = 300_000  # an event further ahead of the clock would empty every window
ENTITIES_LEAST: Final = 1_000  # what a limit of `entities` may be set to: evictions go by samples of some hundred
COUNT_MAX: Final = 2**31 - 1  # what ids_min, ids_max and ring_events_max may be set to: handles are 32 bits wide
EVIDENCE_MAX: Final = 100  # ids listed as evidence of one window
CHANGES_MAX: Final = 300  # numbers of which an explanation looks for other values: some 10 ms each hundred
SNOOZES_MAX: Final = 1_000  # in force at a time: each commit of a store notes them
