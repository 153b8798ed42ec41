package frmcore

import "context"

// Subject is an entity by its identifier: {"account", "a-17"}.
type Subject [2]string

// Said is what is said of a hold or an erasure. Until, of a hold: "90d" from now, or RFC 3339; empty: for good.
type Said struct {
	Reason, Source, Until string
}

// Erased is what an erasure did.
type Erased struct {
	Seq         uint64   `msgpack:"seq"`
	Events      int      `msgpack:"events"`
	Records     int      `msgpack:"records"`
	Lists       []string `msgpack:"lists"`        // the subjects were taken off these
	PolicyLists []string `msgpack:"policy_lists"` // these name them still: change the policy
	TellingIDs  int      `msgpack:"telling_ids"`  // events whose id, which stays, holds an identifier
	Snapshots   []struct {
		File string `msgpack:"file"`
		Time int64  `msgpack:"time"`
		Seq  uint64 `msgpack:"seq"`
	} `msgpack:"snapshots"` // taken before: they hold the subjects still
}

// Erase erases the subjects of one person. The owner reads its whole journal: give the context minutes. Where its time
// is over the owner goes on all the same.
func (c *Client) Erase(ctx context.Context, subjects []Subject, said Said) (*Erased, error) {
	erased := new(Erased)
	options := map[string]any{"reason": said.Reason, "source": said.Source}
	if err := c.ask(ctx, erased, "erase", orEmpty(subjects), options); err != nil {
		return nil, err
	}
	return erased, nil
}

// Hold puts a subject under legal hold: it can't be erased.
func (c *Client) Hold(ctx context.Context, subject Subject, said Said) error {
	options := map[string]any{"reason": said.Reason, "source": said.Source, "until": orNil(said.Until)}
	return c.ask(ctx, nil, "hold_add", subject, options)
}

// Release ends a legal hold; false where there was none.
func (c *Client) Release(ctx context.Context, subject Subject) (bool, error) {
	var released bool
	err := c.ask(ctx, &released, "hold_remove", subject)
	return released, err
}

// Alerts gives those that were raised since the store was made, from that one on, some 1 MiB of them: go on behind
// them, until there are none.
func (c *Client) Alerts(ctx context.Context, start int) ([]Alert, error) {
	var alerts []Alert
	err := c.ask(ctx, &alerts, "alerts", nil, map[string]any{"start": start})
	return alerts, err
}

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
