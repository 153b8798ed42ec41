package frmcore

// Decision is what Decide returns.
type Decision struct {
	EventID   string         `msgpack:"id"`
	Point     string         `msgpack:"point"`
	Outcome   string         `msgpack:"outcome"`
	Policy    string         `msgpack:"policy"` // hash of the policy
	Time      int64          `msgpack:"time"`   // the event's, epoch milliseconds
	Seq       uint64         `msgpack:"seq"`    // place in the recorded order; 0 when it was only evaluated
	Score     int64          `msgpack:"score"`
	Fired     []string       `msgpack:"fired"`
	Reasons   []string       `msgpack:"reasons"`
	Actions   []string       `msgpack:"actions"`
	Shadow    []string       `msgpack:"shadow"`
	Unknown   []string       `msgpack:"unknown"`
	Exempted  []string       `msgpack:"exempted"`
	Lists     []string       `msgpack:"lists"`
	Notes     []string       `msgpack:"notes"`
	Features  map[string]any `msgpack:"features"` // integers, float64, string, bool or nil
	Duplicate bool           `msgpack:"duplicate"`
	Late      bool           `msgpack:"late"`
	Durable   bool           `msgpack:"durable"`
	// Fallback: the owner was away or slow, and this is what Otherwise said. The owner hears of it afterwards.
	Fallback bool `msgpack:"-"`
}
