package frmcore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

const (
	protocolVersion = 1
	frameBytesMax   = 4 << 20
	headBytes       = 4
	window          = 4 // frames of a batch that are on their way at once
)

// wire is one greeted connection, used by one call at a time.
type wire struct {
	conn   net.Conn
	reader *bufio.Reader
	next   uint64
	policy policyFacts
	batch  int
	// A context ended meanwhile: its deadline may still be set, to the harm of the next call.
	spoiled bool
}

type policyFacts struct {
	Name     string   `msgpack:"name"`
	Version  string   `msgpack:"version"`
	Hash     string   `msgpack:"hash"`
	ID       []string `msgpack:"id"` // where an event has its id
	Outcomes []string `msgpack:"outcomes"`
}

type welcome struct {
	Policy policyFacts `msgpack:"policy"`
	Batch  int         `msgpack:"batch"`
}

func open(ctx context.Context, path string) (*wire, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	w := &wire{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10)}
	var told welcome
	greeting := map[string]any{"protocol": protocolVersion, "client": "go " + Version}
	if err := w.call(ctx, &told, "hello", greeting); err != nil {
		conn.Close()
		return nil, err
	}
	w.policy, w.batch = told.Policy, told.Batch
	return w, nil
}

// call asks one thing. After an error that is no *Error the connection is of no use any more.
func (w *wire) call(ctx context.Context, result any, asked ...any) error {
	return w.callMany(ctx, [][]any{asked}, func(answer []byte) error { return read(answer, result) })
}

// callMany asks several things, a few of them on their way at any time, and takes each answer in turn.
func (w *wire) callMany(ctx context.Context, asked [][]any, take func(answer []byte) error) error {
	deadline, _ := ctx.Deadline()
	if err := w.conn.SetDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { w.conn.SetDeadline(time.Unix(1, 0)) })
	defer func() { w.spoiled = !stop() }()
	frames, err := w.frames(asked)
	if err != nil {
		return err
	}
	first := w.next - uint64(len(asked)) + 1
	written := make(chan error, 1)
	room := make(chan struct{}, window)
	ended := make(chan struct{})
	defer close(ended)
	if len(frames) == 1 { // the usual case needs nobody else
		_, err := w.conn.Write(frames[0])
		written <- err
	} else {
		go func() { written <- write(w.conn, frames, room, ended) }()
	}
	var refused error
	for i := range asked {
		answer, err := w.answer(first + uint64(i))
		if err != nil {
			select {
			case wrong := <-written:
				if wrong != nil {
					err = wrong
				}
			default:
			}
			return err
		}
		if err := take(answer); err != nil && refused == nil {
			refused = err
		}
		if len(frames) > 1 {
			<-room
		}
	}
	return refused
}

func write(conn net.Conn, frames [][]byte, room chan struct{}, ended chan struct{}) error {
	for _, frame := range frames {
		select {
		case room <- struct{}{}:
		case <-ended:
			return nil
		}
		if _, err := conn.Write(frame); err != nil {
			return err
		}
	}
	return nil
}

func (w *wire) frames(asked [][]any) ([][]byte, error) {
	frames := make([][]byte, len(asked))
	for i, each := range asked {
		w.next++
		frame, err := frameOf(append([]any{w.next}, each...))
		if err != nil {
			w.next -= uint64(i + 1) // nothing of it was sent
			return nil, err
		}
		frames[i] = frame
	}
	return frames, nil
}

// answer reads the next frame, which must be the answer to that request.
func (w *wire) answer(number uint64) ([]byte, error) {
	var head [headBytes]byte
	if _, err := io.ReadFull(w.reader, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size == 0 || size > frameBytesMax {
		return nil, fmt.Errorf("%w: a frame of %d bytes: is this the socket of an frmcore owner?", ProtocolError, size)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(w.reader, payload); err != nil {
		return nil, err
	}
	told, err := idOf(payload)
	if err != nil {
		return nil, err
	}
	if told == 0 { // the owner ends the connection, and says why
		return nil, errors.Join(errEnded, read(payload, nil))
	}
	if told != number {
		return nil, fmt.Errorf("%w: the answer to request %d came for request %d", ProtocolError, told, number)
	}
	return payload, nil
}

var errEnded = errors.New("the owner ended the connection")

func unfit(err error) error {
	return &Error{Class: InvalidEvent, Message: "it can't be sent: " + err.Error()}
}

func frameOf(request []any) ([]byte, error) {
	payload, err := encode(request)
	if err != nil {
		return nil, unfit(err)
	}
	if len(payload) > frameBytesMax {
		return nil, tooLong(request, len(payload))
	}
	frame := make([]byte, headBytes, headBytes+len(payload))
	binary.BigEndian.PutUint32(frame, uint32(len(payload)))
	return append(frame, payload...), nil
}

func tooLong(request []any, size int) error {
	told := fmt.Sprintf("%d bytes in one frame, at most %d are taken", size, frameBytesMax)
	if request[1] == "reload" {
		return &Error{Class: ProtocolError, Message: told + ": use `frmcore reload`"}
	}
	return &Error{Class: InvalidEvent, Message: told}
}

func idOf(payload []byte) (uint64, error) {
	decoder := msgpack.GetDecoder()
	defer msgpack.PutDecoder(decoder)
	decoder.ResetReader(bytesReader(payload))
	if _, err := decoder.DecodeArrayLen(); err != nil {
		return 0, fmt.Errorf("%w: %v", ProtocolError, err)
	}
	number, err := decoder.DecodeUint64()
	if err != nil {
		return 0, fmt.Errorf("%w: %v", ProtocolError, err)
	}
	return number, nil
}
