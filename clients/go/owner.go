package frmcore

import (
	"context"
	"time"
)

const readTime = time.Hour // for what reads or writes a whole store

// Health of the owner, and which policy is in force.
type Health struct {
	Ready    bool        `msgpack:"ready"`
	Degraded bool        `msgpack:"degraded"`
	Failure  string      `msgpack:"failure"`
	Policy   PolicyNamed `msgpack:"policy"`
}

// PolicyNamed is a policy by its name, version and hash.
type PolicyNamed struct {
	Name    string `msgpack:"name"`
	Version string `msgpack:"version"`
	Hash    string `msgpack:"hash"`
}

// Health asks the owner whether it decides, and whether its store can be written.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var told Health
	err := c.ask(ctx, &told, "health")
	return told, err
}

// Stats counts what the engine did since its store was made, and what its memory holds, in bytes. What this client gave
// as fallbacks is in Reports.
type Stats struct {
	Decisions    int            `msgpack:"decisions"`
	DecidedAgain int            `msgpack:"decided_again"`
	Observed     int            `msgpack:"observed"`
	Updates      int            `msgpack:"updates"`
	Duplicates   int            `msgpack:"duplicates"`
	Conflicts    int            `msgpack:"conflicts"`
	Late         int            `msgpack:"late"`
	TooOld       int            `msgpack:"too_old"`
	Ahead        int            `msgpack:"ahead"`
	Invalid      map[string]int `msgpack:"invalid"` // by field; "": by none
	Overflows    int            `msgpack:"overflows"`
	Outcomes     map[string]int `msgpack:"outcomes"`
	IDs          int            `msgpack:"ids"` // that are remembered
	Forgotten    int            `msgpack:"forgotten"`
	Seq          uint64         `msgpack:"seq"`
	Watermark    *int64         `msgpack:"watermark"` // the latest event's time; nil before the first
	Policy       string         `msgpack:"policy"`    // hash of the policy
	Groups       []GroupStats   `msgpack:"groups"`
	Evicted      map[string]int `msgpack:"evicted"` // by entity
	Tripped      []string       `msgpack:"tripped"` // rules whose breaker tripped
	Memory       map[string]int `msgpack:"memory"`
	Store        *StoreStats    `msgpack:"store"`    // nil of an engine in memory
	Verdicts     []Verdicts     `msgpack:"verdicts"` // since the owner was started
	Rules        map[string]int `msgpack:"rules"`    // likewise: decisions in which a rule counted
}

// GroupStats are of the windows that share one ring an entity.
type GroupStats struct {
	Signature    string `msgpack:"signature"`
	Entity       string `msgpack:"entity"`
	Entities     int    `msgpack:"entities"`
	Bytes        int    `msgpack:"bytes"`
	Evicted      int    `msgpack:"evicted"`
	EvictedUntil *int64 `msgpack:"evicted_until"`
}

// StoreStats are of what lies on the disk.
type StoreStats struct {
	Synced        uint64  `msgpack:"synced"` // up to this operation all survives a crash of the machine
	RingUsed      int     `msgpack:"ring_used"`
	RingSize      int     `msgpack:"ring_size"`
	Commits       int     `msgpack:"commits"`
	CommitSeconds float64 `msgpack:"commit_seconds"`
	Spilled       int     `msgpack:"spilled"`
	Waiting       int     `msgpack:"waiting"`
	Degraded      bool    `msgpack:"degraded"`
	Failure       string  `msgpack:"failure"`
	Checkpoint    uint64  `msgpack:"checkpoint"`
	Bytes         int     `msgpack:"bytes"`
	Recovered     struct {
		Operations int     `msgpack:"operations"`
		Seconds    float64 `msgpack:"seconds"`
	} `msgpack:"recovered"`
}

// Verdicts are how many decisions of a point had an outcome.
type Verdicts struct {
	_msgpack struct{} `msgpack:",as_array"`
	Point    string
	Outcome  string
	Count    int
}

// Stats asks the owner for its counts.
func (c *Client) Stats(ctx context.Context) (*Stats, error) {
	told := new(Stats)
	if err := c.ask(ctx, told, "stats"); err != nil {
		return nil, err
	}
	return told, nil
}

// StateHash is equal for equal states. The owner takes it over its whole state: give the context time.
func (c *Client) StateHash(ctx context.Context) (string, error) {
	var told string
	err := c.ask(ctx, &told, "state_hash")
	return told, err
}

// Flush returns once everything recorded so far survives a crash of the machine.
func (c *Client) Flush(ctx context.Context) error {
	return c.ask(ctx, nil, "flush")
}

// Snapshot has the owner write everything into one file, whose whole path is given: `frmcore restore` makes a store of
// it. A context without a deadline gives it an hour.
func (c *Client) Snapshot(ctx context.Context, file string) error {
	ctx, cancel := within(ctx, max(readTime, c.options.Timeout))
	defer cancel()
	return c.ask(ctx, nil, "snapshot", file)
}
