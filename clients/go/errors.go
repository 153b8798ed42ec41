package frmcore

import "fmt"

// Class is the kind of an error, for errors.Is: errors.Is(err, frmcore.InvalidEvent).
type Class string

// The classes that docs/python.md explains.
const (
	InvalidEvent     Class = "InvalidEvent"
	EventTooOld      Class = "EventTooOld" // an InvalidEvent too
	EventConflict    Class = "EventConflict"
	UnknownEvent     Class = "UnknownEvent"
	EventErased      Class = "EventErased" // an UnknownEvent too
	UnknownName      Class = "UnknownName"
	ReadOnlyList     Class = "ReadOnlyList"
	PolicyError      Class = "PolicyError"
	UnderHold        Class = "UnderHold"
	StoreError       Class = "StoreError"
	StoreUnavailable Class = "StoreUnavailable" // a StoreError too, as the next four
	StoreLocked      Class = "StoreLocked"
	StoreDamaged     Class = "StoreDamaged"
	StoreFull        Class = "StoreFull"
	StoreVersion     Class = "StoreVersion"
	EngineClosed     Class = "EngineClosed"
	ValueError       Class = "ValueError" // of an argument: a snapshot's path that is not whole
	OwnerUnavailable Class = "OwnerUnavailable"
	ProtocolError    Class = "ProtocolError"
)

var above = map[Class]Class{
	EventTooOld: InvalidEvent, EventErased: UnknownEvent, StoreUnavailable: StoreError, StoreLocked: StoreError,
	StoreDamaged: StoreError, StoreFull: StoreError, StoreVersion: StoreError,
}

func (c Class) Error() string { return string(c) }

// Error is what the owner answered instead of a result.
type Error struct {
	Class    Class     `msgpack:"error"`
	Message  string    `msgpack:"message"`
	Field    string    `msgpack:"field"`    // of an InvalidEvent: the culprit, where one is
	Decision *Decision `msgpack:"decision"` // of an EventConflict: the first decision
	Problems []Problem `msgpack:"problems"` // of a PolicyError

	cause error // of an OwnerUnavailable: the context's error, where that ended the call
}

// Problem is one mistake in a policy: where, what, and how to mend it.
type Problem struct {
	Place   Place  `msgpack:"place"`
	Message string `msgpack:"message"`
	Hint    string `msgpack:"hint"`
	Source  string `msgpack:"source"` // the line it stands on
}

// Place in a policy's file, from 1 on; Cell is of a table.
type Place struct {
	File   string `msgpack:"file"`
	Line   int    `msgpack:"line"`
	Column int    `msgpack:"column"`
	Length int    `msgpack:"length"`
	Cell   string `msgpack:"cell"`
}

// Unwrap gives context.Canceled or context.DeadlineExceeded where the context ended the call.
func (e *Error) Unwrap() error { return e.cause }

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Class, e.Message) }

// Is says whether the error is of a class, or of one under it.
func (e *Error) Is(target error) bool {
	class, ok := target.(Class)
	return ok && (e.Class == class || above[e.Class] == class)
}
