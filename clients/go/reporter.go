package frmcore

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

const (
	reportsMax  = 10_000 // that wait; when more do, the oldest are given up
	reportPause = 250 * time.Millisecond
)

// report is an event that took effect without a decision.
type report struct {
	event msgpack.RawMessage // as it was then: the caller may go on with its map
	point string
	final string
	at    int64 // epoch milliseconds
}

// Reports counts the fallbacks of a client.
type Reports struct {
	Given, Reported, Refused, Dropped, Waiting int
}

// reporter sends reports in order, from a goroutine that lives while there are some.
type reporter struct {
	client  *Client
	mutex   sync.Mutex
	waiting []report
	counts  Reports
	running bool
	closing chan struct{}
	closed  sync.Once
}

func newReporter(client *Client) *reporter {
	return &reporter{client: client, closing: make(chan struct{})}
}

// Reports says how many fallbacks were given, and what became of them.
func (c *Client) Reports() Reports {
	c.reporter.mutex.Lock()
	defer c.reporter.mutex.Unlock()
	counts := c.reporter.counts
	counts.Waiting = len(c.reporter.waiting)
	return counts
}

func (r *reporter) add(one report) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.counts.Given++
	if len(r.waiting) == reportsMax {
		r.waiting = r.waiting[1:]
		r.counts.Dropped++
	}
	r.waiting = append(r.waiting, one)
	if !r.running {
		r.running = true
		go r.run()
	}
}

func (r *reporter) run() {
	for {
		r.mutex.Lock()
		if len(r.waiting) == 0 {
			r.running = false
			r.mutex.Unlock()
			return
		}
		one, dropped := r.waiting[0], r.counts.Dropped
		r.mutex.Unlock()
		err := r.send(one)
		if err != nil && !refused(err) {
			select {
			case <-r.closing:
				return
			case <-time.After(reportPause):
			}
			continue
		}
		r.mutex.Lock()
		if err != nil {
			r.counts.Refused++
		} else {
			r.counts.Reported++
		}
		if r.counts.Dropped == dropped {
			r.waiting = r.waiting[1:]
		}
		r.mutex.Unlock()
	}
}

// refused says whether an error is an owner's answer to that report: those behind must not wait for it for ever.
// Anything else may go away.
func refused(err error) bool {
	var told *Error
	return errors.As(err, &told) && !errors.Is(told, OwnerUnavailable) && !errors.Is(told, StoreError)
}

func (r *reporter) send(one report) error {
	options := map[string]any{"final": one.final, "at": one.at, "point": orNil(one.point)}
	return r.client.ask(context.Background(), nil, "report", one.event, options)
}

// close waits for reports to go out; how many did not.
func (r *reporter) close(patience time.Duration) int {
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if r.client.Reports().Waiting == 0 {
			break
		}
	}
	r.closed.Do(func() { close(r.closing) })
	return r.client.Reports().Waiting
}

// idIn finds the id of an event that was never decided; "" where the policy is not known yet.
func (c *Client) idIn(event msgpack.RawMessage) string {
	known := c.facts()
	if known == nil {
		return ""
	}
	var value any
	if err := msgpack.Unmarshal(event, &value); err != nil {
		return ""
	}
	if text, ok := value.([]byte); ok && json.Unmarshal(text, &value) != nil {
		return ""
	}
	for _, name := range known.ID {
		fields, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		value = fields[name]
	}
	ident, _ := value.(string)
	return ident
}
