package frmcore

import (
	"context"
	"errors"
	"time"
)

// How a call is to be made.
type How func(*asking)

type asking struct {
	point     string
	strict    bool
	otherwise string
}

// Point names a decision point, where several take this kind of event.
func Point(name string) How { return func(a *asking) { a.point = name } }

// Strict refuses keys that the policy does not know.
func Strict() How { return func(a *asking) { a.strict = true } }

// Otherwise is the outcome to take when the owner is away, or slower than the context allows. The decision then has
// Fallback, and the owner hears of it afterwards: the event counts, with that outcome as its final.
func Otherwise(outcome string) How { return func(a *asking) { a.otherwise = outcome } }

func asked(how []How) asking {
	var a asking
	for _, each := range how {
		each(&a)
	}
	return a
}

func (a asking) options() any {
	if a.point == "" && !a.strict {
		return nil
	}
	return map[string]any{"point": orNil(a.point), "strict": a.strict}
}

// Decide decides one event and records it. The context's deadline is the call's.
func (c *Client) Decide(ctx context.Context, event any, how ...How) (*Decision, error) {
	a := asked(how)
	ctx, cancel := c.timed(ctx)
	defer cancel()
	if err := c.checkOtherwise(ctx, a.otherwise); err != nil {
		return nil, err
	}
	decision := new(Decision)
	err := c.ask(ctx, decision, "decide", event, a.options())
	if err == nil {
		return decision, nil
	}
	cancelled := errors.Is(ctx.Err(), context.Canceled) // nobody waits for it any more: nothing took effect
	if a.otherwise == "" || cancelled || !(errors.Is(err, OwnerUnavailable) || errors.Is(err, ProtocolError)) {
		return nil, err
	}
	return c.fallback(event, a)
}

// fallback takes the caller's declared choice. The owner is told of the event as it is now: the caller may go on with it.
func (c *Client) fallback(event any, a asking) (*Decision, error) {
	packed, err := encode(event)
	if err != nil {
		return nil, unfit(err)
	}
	c.reporter.add(report{packed, a.point, a.otherwise, time.Now().UnixMilli()})
	return &Decision{EventID: c.idIn(packed), Point: a.point, Outcome: a.otherwise, Fallback: true}, nil
}

// DecideMany decides events in order, many of them on their way at once. The first that is refused is the error;
// events before it stay decided, and some behind it may be.
func (c *Client) DecideMany(ctx context.Context, events []any, how ...How) ([]*Decision, error) {
	requests := batches("decide_many", events, asked(how).options())
	var decisions []*Decision
	err := c.use(ctx, func(ctx context.Context, w *wire) error {
		decisions = make([]*Decision, 0, len(events))
		return w.callMany(ctx, requests, func(answer []byte) error {
			var part struct {
				Decisions []*Decision `msgpack:"decisions"`
			}
			if err := read(answer, &part); err != nil {
				return err
			}
			decisions = append(decisions, part.Decisions...)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return decisions, nil
}

// Evaluate says what Decide would return; nothing is recorded.
func (c *Client) Evaluate(ctx context.Context, event any, how ...How) (*Decision, error) {
	decision := new(Decision)
	if err := c.ask(ctx, decision, "evaluate", event, asked(how).options()); err != nil {
		return nil, err
	}
	return decision, nil
}

// Observe records an event in the windows without deciding it.
func (c *Client) Observe(ctx context.Context, event any) error {
	return c.ask(ctx, nil, "observe", event)
}

// ObserveMany records events in order, as DecideMany decides them: history, each with its updates and final. Sent again
// they count once. The context's deadline is for all of them: cut a long history.
func (c *Client) ObserveMany(ctx context.Context, events []any) error {
	requests := batches("observe_many", events, nil)
	return c.use(ctx, func(ctx context.Context, w *wire) error {
		return w.callMany(ctx, requests, func(answer []byte) error { return read(answer, nil) })
	})
}

// batches are requests of one operation, for some events each.
func batches(op string, events []any, options any) [][]any {
	var requests [][]any
	for at := 0; at < len(events); at += batchEvents {
		requests = append(requests, []any{op, events[at:min(at+batchEvents, len(events))], options})
	}
	return requests
}

// Told are later facts about an event. At: when they became true, now where it is zero.
type Told struct {
	At     time.Time
	By     string
	Source string
	Fields map[string]any
}

func (t Told) options() map[string]any {
	options := map[string]any{"fields": t.Fields, "by": orNil(t.By), "source": orNil(t.Source)}
	if t.Fields == nil {
		options["fields"] = map[string]any{}
	}
	if !t.At.IsZero() {
		options["at"] = t.At.UnixMilli()
	}
	return options
}

// Update tells later facts: the policy's updates, or "final".
func (c *Client) Update(ctx context.Context, eventID string, told Told) error {
	options, first := told.options(), time.Now()
	return c.use(ctx, func(ctx context.Context, w *wire) error {
		err := w.call(ctx, nil, "update", eventID, options)
		options["again"] = first.UnixMilli() // on another connection, where nobody knows whether it was told
		return err
	})
}

// DecideAgain tells later facts, then decides the event at a later point.
func (c *Client) DecideAgain(ctx context.Context, eventID, point string, told Told) (*Decision, error) {
	options := told.options()
	options["point"] = point
	decision := new(Decision)
	if err := c.ask(ctx, decision, "decide_again", eventID, options); err != nil {
		return nil, err
	}
	return decision, nil
}

// Features says what is known of entities now: {"account": "a-17"}.
func (c *Client) Features(ctx context.Context, entities map[string]string) (map[string]any, error) {
	return c.FeaturesAt(ctx, time.Time{}, entities)
}

// FeaturesAt says it as of that time.
func (c *Client) FeaturesAt(ctx context.Context, at time.Time, entities map[string]string) (map[string]any, error) {
	if entities == nil {
		entities = map[string]string{}
	}
	var options any
	if !at.IsZero() {
		options = map[string]any{"at": at.UnixMilli()}
	}
	var told Values
	err := c.ask(ctx, &told, "features", entities, options)
	return told, err
}

// orEmpty because nil would go out as none at all.
func orEmpty[T any](values []T) []T {
	if values == nil {
		return []T{}
	}
	return values
}

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}
