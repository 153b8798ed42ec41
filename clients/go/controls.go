package frmcore

import "context"

// Kind is what can be switched.
type Kind string

// A rule, or a group of rules.
const (
	Rule  Kind = "rule"
	Group Kind = "group"
)

// Steered is why, and by whom.
type Steered struct {
	Reason, By string
}

func (s Steered) options() map[string]any {
	return map[string]any{"reason": s.Reason, "by": s.By}
}

// Switch switches a rule or a group "on", "off" or to "shadow".
func (c *Client) Switch(ctx context.Context, kind Kind, name, state string, said Steered) error {
	options := said.options()
	options["kind"], options["state"] = kind, state
	return c.ask(ctx, nil, "switch", name, options)
}

// Snooze puts a rule in shadow, for one entity ("account:a-17") or, where that is empty, for all. Until: "2h" from now,
// or RFC 3339.
func (c *Client) Snooze(ctx context.Context, rule, entity, until string, said Steered) error {
	options := said.options()
	options["entity"], options["until"] = orNil(entity), until
	return c.ask(ctx, nil, "snooze", rule, options)
}

// Unsnooze ends a snooze.
func (c *Client) Unsnooze(ctx context.Context, rule, entity string, said Steered) error {
	options := said.options()
	options["entity"] = orNil(entity)
	return c.ask(ctx, nil, "unsnooze", rule, options)
}

// ResetBreaker makes a rule live again that its breaker put in shadow.
func (c *Client) ResetBreaker(ctx context.Context, rule string, said Steered) error {
	return c.ask(ctx, nil, "reset_breaker", rule, said.options())
}

// Controls is what differs now from what the policy says. Times are epoch milliseconds.
type Controls struct {
	Switches []Switched `msgpack:"switches"`
	Snoozes  []Snoozed  `msgpack:"snoozes"`
	Tripped  []Tripped  `msgpack:"tripped"`
}

// Switched is a rule or a group that is not as the policy says.
type Switched struct {
	Kind   Kind   `msgpack:"kind"`
	Name   string `msgpack:"name"`
	State  string `msgpack:"state"`
	Reason string `msgpack:"reason"`
	By     string `msgpack:"by"`
	At     int64  `msgpack:"at"`
}

// Snoozed is a rule in shadow until a time of events, for one value of a field, or for all where that is empty.
type Snoozed struct {
	Rule   string `msgpack:"rule"`
	Field  string `msgpack:"field"`
	Value  string `msgpack:"value"`
	Until  int64  `msgpack:"until"`
	Reason string `msgpack:"reason"`
	By     string `msgpack:"by"`
	At     int64  `msgpack:"at"`
}

// Tripped is a rule whose breaker tripped: it fired for Fired of Decisions. At: the time of the event that did it.
type Tripped struct {
	Rule      string `msgpack:"rule"`
	Fired     int    `msgpack:"fired"`
	Decisions int    `msgpack:"decisions"`
	At        int64  `msgpack:"at"`
}

// Controls asks which rules are switched, snoozed or tripped.
func (c *Client) Controls(ctx context.Context) (*Controls, error) {
	told := new(Controls)
	if err := c.ask(ctx, told, "controls"); err != nil {
		return nil, err
	}
	return told, nil
}
