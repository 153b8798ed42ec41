package frmcore

import (
	"context"
	"time"
)

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

// Erase erases the subjects of one person. The owner reads its whole journal: a context without a deadline gives it an
// hour. Where its time is over the owner goes on all the same; erasing again is harmless.
func (c *Client) Erase(ctx context.Context, subjects []Subject, said Said) (*Erased, error) {
	ctx, cancel := within(ctx, max(readTime, c.options.Timeout))
	defer cancel()
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

// Hold is a subject under legal hold; of a private entity Value is a hash. Times are epoch milliseconds.
type Hold struct {
	Entity string `msgpack:"entity"`
	Value  string `msgpack:"value"`
	Reason string `msgpack:"reason"`
	Source string `msgpack:"source"`
	Since  *int64 `msgpack:"since"`
	Until  *int64 `msgpack:"until"` // nil: for good
}

// HoldOf gives the hold of a subject that is in force; nil where there is none.
func (c *Client) HoldOf(ctx context.Context, subject Subject) (*Hold, error) {
	var found *Hold
	err := c.ask(ctx, &found, "hold_get", subject)
	return found, err
}

// Holds gives all that are in force. They come page by page: what changes meanwhile may be met twice, or not at all.
func (c *Client) Holds(ctx context.Context) ([]Hold, error) {
	ctx, cancel := c.timed(ctx)
	defer cancel()
	return all(func(start int) ([]Hold, error) {
		var page struct {
			Holds []Hold `msgpack:"holds"`
		}
		err := c.ask(ctx, &page, "holds", nil, from(start))
		return page.Holds, err
	})
}

// Alerts gives those that were raised since the store was made, from that one on, some 1 MiB of them: go on behind
// them, until there are none. The owner reads its operations again each time: a context without a deadline gives it a
// minute.
func (c *Client) Alerts(ctx context.Context, start int) ([]Alert, error) {
	ctx, cancel := within(ctx, max(time.Minute, c.options.Timeout))
	defer cancel()
	var alerts []Alert
	err := c.ask(ctx, &alerts, "alerts", nil, from(start))
	return alerts, err
}
