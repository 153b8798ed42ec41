package frmcore

import (
	"context"

	"github.com/vmihailenco/msgpack/v5"
)

// Explanation is a decision taken apart. Fields and Final are as known now, everything else as it was decided.
type Explanation struct {
	Decision Decision       `msgpack:"decision"`
	Fields   Values         `msgpack:"fields"`
	Final    string         `msgpack:"final"`
	Features []FeatureTrace `msgpack:"features"`
	Rules    []RuleTrace    `msgpack:"rules"`
	Lists    []string       `msgpack:"lists"`
	Changes  []Nearest      `msgpack:"changes"` // of which number another value would have altered the outcome
}

// FeatureTrace is one feature; of an aggregate its window in epoch milliseconds, and the ids of the events in it, newest
// first, at most 100.
type FeatureTrace struct {
	Name     string   `msgpack:"name"`
	Value    any      `msgpack:"value"`
	Shown    string   `msgpack:"shown"` // as a person reads it
	Start    *int64   `msgpack:"start"` // nil: all that is recorded
	End      *int64   `msgpack:"end"`   // exclusive
	Evidence []string `msgpack:"evidence"`
}

// RuleTrace is one rule. State: fired, exempted, shadow, unknown, silent, off, or not evaluated.
type RuleTrace struct {
	ID      string    `msgpack:"id"`
	State   string    `msgpack:"state"`
	Outcome string    `msgpack:"outcome"`
	Score   int64     `msgpack:"score"`
	Reason  string    `msgpack:"reason"`
	Tree    Node      `msgpack:"tree"`
	Failed  []string  `msgpack:"failed"`  // the parts of its condition for want of which it is not true
	Changes []Nearest `msgpack:"changes"` // of which number another value would have made it true, or not true
}

// Node is one part of a rule's expression, and what it is made of.
type Node struct {
	Text     string `msgpack:"text"`
	Value    any    `msgpack:"value"`
	Shown    string `msgpack:"shown"`
	Children []Node `msgpack:"children"`
}

// Nearest is the nearest other value of one number: with Limit or beyond (Bound: "at most", "at least") instead of
// Value, all else as it was, the outcome would have been Outcome; of a rule "fires" or "silent".
type Nearest struct {
	Name    string `msgpack:"name"`
	Value   any    `msgpack:"value"`
	Bound   string `msgpack:"bound"`
	Limit   any    `msgpack:"limit"`
	Shown   string `msgpack:"shown"`
	Outcome string `msgpack:"outcome"`
}

// Explain says why an event was decided as it was: at that point, or where it is empty by the latest decision.
func (c *Client) Explain(ctx context.Context, eventID, point string) (*Explanation, error) {
	found := new(Explanation)
	if err := c.ask(ctx, found, "explain", eventID, map[string]any{"point": orNil(point)}); err != nil {
		return nil, err
	}
	return found, nil
}

// Final says which outcome took effect for an event, as known now.
func (c *Client) Final(ctx context.Context, eventID string) (string, error) {
	var told struct {
		Final string `msgpack:"final"`
	}
	err := c.ask(ctx, &told, "explain", eventID)
	return told.Final, err
}

// DecodeMsgpack makes whole numbers int64, as those of Values.
func (t *FeatureTrace) DecodeMsgpack(decoder *msgpack.Decoder) error {
	type plain FeatureTrace
	err := decoder.Decode((*plain)(t))
	t.Value = whole(t.Value)
	return err
}

// DecodeMsgpack makes whole numbers int64, as those of Values.
func (n *Node) DecodeMsgpack(decoder *msgpack.Decoder) error {
	type plain Node
	err := decoder.Decode((*plain)(n))
	n.Value = whole(n.Value)
	return err
}

// DecodeMsgpack makes whole numbers int64, as those of Values.
func (n *Nearest) DecodeMsgpack(decoder *msgpack.Decoder) error {
	type plain Nearest
	err := decoder.Decode((*plain)(n))
	n.Value, n.Limit = whole(n.Value), whole(n.Limit)
	return err
}
