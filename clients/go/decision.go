package frmcore

import (
	"math"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"
)

// Decision is what Decide returns.
type Decision struct {
	EventID  string   `msgpack:"id"`
	Point    string   `msgpack:"point"`
	Outcome  string   `msgpack:"outcome"`
	Policy   string   `msgpack:"policy"` // hash of the policy
	Time     int64    `msgpack:"time"`   // the event's, epoch milliseconds
	Seq      uint64   `msgpack:"seq"`    // place in the recorded order; 0 when it was only evaluated
	Score    int64    `msgpack:"score"`
	Fired    []string `msgpack:"fired"`
	Reasons  []string `msgpack:"reasons"`
	Actions  []string `msgpack:"actions"`
	Shadow   []string `msgpack:"shadow"`
	Unknown  []string `msgpack:"unknown"`
	Exempted []string `msgpack:"exempted"`
	Lists    []string `msgpack:"lists"`
	Notes    []string `msgpack:"notes"`
	Alerts   []Alert  `msgpack:"alerts"`
	Features Values   `msgpack:"features"` // int64 (beyond it uint64), float64, string, bool or nil
	// Intended is what the rules asked for where another outcome took effect, of the holdout; else empty.
	Intended string `msgpack:"intended"`
	Holdout  bool   `msgpack:"holdout"`
	// Probability of the outcome that an event of the holdout got; 0: it was sure (1).
	Probability float64 `msgpack:"probability"`
	Duplicate   bool    `msgpack:"duplicate"`
	Late        bool    `msgpack:"late"`
	Durable     bool    `msgpack:"durable"`
	// Fallback: the owner was away or slow, and this is what Otherwise said. The owner hears of it afterwards.
	Fallback bool `msgpack:"-"`
}

// Alert is what a rule tells people about an entity.
type Alert struct {
	Rule     string   `msgpack:"rule"`
	About    string   `msgpack:"about"`  // the field that names the entity
	Entity   any      `msgpack:"entity"` // its value: text, or a whole number
	Typology string   `msgpack:"typology"`
	EventID  string   `msgpack:"event_id"`
	Time     int64    `msgpack:"time"`
	Evidence []string `msgpack:"evidence"` // ids of events
}

// DecodeMsgpack makes a whole number an int64, as those of Values.
func (a *Alert) DecodeMsgpack(decoder *msgpack.Decoder) error {
	type plain Alert
	err := decoder.Decode((*plain)(a))
	a.Entity = whole(a.Entity)
	return err
}

// Values are features by name. A whole number is an int64 whatever its size, so that a type assertion holds for all.
type Values map[string]any

func (v *Values) DecodeMsgpack(decoder *msgpack.Decoder) error {
	decoder.UseLooseInterfaceDecoding(true)
	defer decoder.UseLooseInterfaceDecoding(false)
	told, err := decoder.DecodeMap()
	for name, value := range told {
		if whole, ok := value.(uint64); ok && whole <= math.MaxInt64 {
			told[name] = int64(whole)
		}
	}
	*v = told
	return err
}

// whole makes a whole number that stands alone an int64, too; beyond that it is a uint64.
func whole(value any) any {
	number := reflect.ValueOf(value)
	switch {
	case number.CanInt():
		return number.Int()
	case number.CanUint() && number.Uint() <= math.MaxInt64:
		return int64(number.Uint())
	}
	return value
}
