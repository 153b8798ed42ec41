package frmcore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

const vectors = "../../tests/data/protocol"

// owner is a real `frmcore serve`. FRMCORE names the command; by default that of the repository's environment.
type owner struct {
	t       testing.TB
	store   string
	process *exec.Cmd
}

func newOwner(t testing.TB) *owner {
	o := &owner{t: t, store: filepath.Join(t.TempDir(), "store")}
	o.start()
	t.Cleanup(o.kill)
	return o
}

func command(t testing.TB) []string {
	if given := os.Getenv("FRMCORE"); given != "" {
		return strings.Fields(given)
	}
	found := "../../.venv/bin/frmcore"
	if _, err := os.Stat(found); err != nil {
		t.Skipf("no owner to test against: %s is not there (make), and FRMCORE is not set", found)
	}
	return []string{found}
}

func (o *owner) start() {
	words := append(command(o.t), "serve", o.store, "--policy", filepath.Join(vectors, "policy.yaml"))
	o.process = exec.Command(words[0], words[1:]...)
	if err := o.process.Start(); err != nil {
		o.t.Fatal(err)
	}
}

func (o *owner) signal(number syscall.Signal) {
	if err := o.process.Process.Signal(number); err != nil {
		o.t.Fatal(err)
	}
}

func (o *owner) kill() {
	o.process.Process.Kill()
	o.process.Wait()
}

func (o *owner) client() *Client {
	client := New(o.store, Options{Timeout: 30 * time.Second})
	if _, err := client.Health(context.Background()); err != nil {
		o.t.Fatal(err)
	}
	return client
}

type payment struct {
	ID      string   `msgpack:"id"`
	Time    int64    `msgpack:"ts"`
	Kind    string   `msgpack:"kind"`
	Account string   `msgpack:"account"`
	Card    *string  `msgpack:"card"`
	Weight  *float64 `msgpack:"weight,omitempty"`
	Amount  int64    `msgpack:"amount"`
}

const noon = 1_760_011_200_000

func paid(number int) payment {
	return payment{ID: fmt.Sprintf("e-%d", number), Time: noon + int64(number), Kind: "payment", Account: "a", Amount: 100}
}

func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func load(t testing.TB, name, policy string, into any) {
	data := must(os.ReadFile(filepath.Join(vectors, name)))(t)
	data = bytes.ReplaceAll(data, []byte("<hash>"), []byte(policy))
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// plain brings JSON's and MessagePack's numbers to one form.
func plain(value any) any {
	switch v := value.(type) {
	case json.Number:
		if whole, err := v.Int64(); err == nil && !strings.Contains(v.String(), ".") {
			return whole
		}
		float, _ := v.Float64()
		return float
	case map[string]any:
		for key, each := range v {
			v[key] = plain(each)
		}
		delete(v, "durable") // the vectors are of an engine without a store
		delete(v, "frmcore")
		delete(v, "since") // by the owner's clock, as is the next
		delete(v, "added")
		return v
	case []any:
		for i, each := range v {
			v[i] = plain(each)
		}
		return v
	}
	number := reflect.ValueOf(value)
	switch {
	case number.CanInt():
		return number.Int()
	case number.CanUint():
		return int64(number.Uint())
	}
	return value
}

func TestFrames(t *testing.T) {
	var found []struct {
		Name, Frame string
		Plain       any
	}
	load(t, "frames.json", "", &found)
	for _, each := range found {
		frame := must(hex.DecodeString(each.Frame))(t)
		var told any
		if err := msgpack.Unmarshal(frame[headBytes:], &told); err != nil {
			t.Fatal(err)
		}
		if expected := plain(each.Plain); !reflect.DeepEqual(plain(told), expected) {
			t.Errorf("%s: got %v, expected %v", each.Name, told, expected)
		}
		ours := must(frameOf(plain(each.Plain).([]any)))(t)
		var again any
		if err := msgpack.Unmarshal(ours[headBytes:], &again); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(plain(again), plain(told)) || int(ours[3])+int(ours[2])<<8 != len(ours)-headBytes {
			t.Errorf("%s: our frame says %v", each.Name, again)
		}
	}
}

func TestConversation(t *testing.T) {
	o := newOwner(t)
	o.client().Close()
	var steps []struct {
		Name          string
		Send, Receive []any
	}
	w := must(open(context.Background(), filepath.Join(o.store, "socket")))(t)
	defer w.conn.Close()
	load(t, "conversation.json", w.policy.Hash, &steps)
	for _, step := range steps[1:] { // open has said hello
		frame := must(frameOf(plain(step.Send).([]any)))(t)
		must(w.conn.Write(frame))(t)
		number, _ := step.Send[0].(int64)
		payload := must(w.answer(uint64(number)))(t)
		var told any
		if err := msgpack.Unmarshal(payload, &told); err != nil {
			t.Fatal(err)
		}
		if expected := plain(step.Receive); !reflect.DeepEqual(plain(told), expected) {
			t.Errorf("%s:\n got %v\nwant %v", step.Name, told, expected)
		}
	}
}

func TestCalls(t *testing.T) {
	ctx, o := context.Background(), newOwner(t)
	client := o.client()
	defer client.Close()
	card := "c-1"
	first := paid(1)
	first.Card = &card
	decision := must(client.Decide(ctx, first, Point("checkout")))(t)
	if decision.Outcome != "allow" || !decision.Durable || decision.Features["spend"] != int64(100) || decision.Fallback {
		t.Errorf("%+v", decision)
	}
	if again := must(client.Decide(ctx, first))(t); !again.Duplicate || again.Seq != decision.Seq {
		t.Errorf("%+v", again)
	}
	changed := first
	changed.Amount = 1
	_, err := client.Decide(ctx, changed)
	var told *Error
	if !errors.Is(err, EventConflict) || !errors.As(err, &told) || told.Decision.Seq != decision.Seq {
		t.Error(err)
	}
	_, err = client.Decide(ctx, map[string]any{"id": "x", "ts": noon, "kind": "payment", "account": "a", "amount": "12"})
	if !errors.Is(err, InvalidEvent) || !errors.As(err, &told) || told.Field != "amount" {
		t.Error(err)
	}
	if _, err = client.Decide(ctx, map[string]any{"id": "x", "bad": func() {}}); !errors.Is(err, InvalidEvent) {
		t.Error(err)
	}
	if added := must(client.ListAdd(ctx, "blocked", []string{"c-1", "c-2"}, Change{Reason: "r", Expires: "90d"}))(t); added != 2 {
		t.Error(added)
	}
	if !must(client.ListContains(ctx, "blocked", "c-1"))(t) || must(client.ListRemove(ctx, "blocked", []string{"c-2"}, Change{}))(t) != 1 {
		t.Error("lists")
	}
	if evaluated := must(client.Evaluate(ctx, map[string]any{"id": "v", "ts": noon, "kind": "payment", "account": "a", "card": "c-1", "amount": 5}))(t); evaluated.Outcome != "block" || evaluated.Seq != 0 || evaluated.Reasons[0] != "the card is listed" {
		t.Errorf("%+v", evaluated)
	}
	if err := client.Update(ctx, "e-1", Told{Fields: map[string]any{"status": "declined"}, Source: "issuer"}); err != nil {
		t.Error(err)
	}
	if again := must(client.DecideAgain(ctx, "e-1", "answered", Told{Fields: map[string]any{"status": "declined"}}))(t); !slices.Contains(again.Fired, "declined") {
		t.Errorf("%+v", again)
	}
	if err := client.Observe(ctx, paid(2)); err != nil {
		t.Error(err)
	}
	if known := must(client.Features(ctx, map[string]string{"account": "a"}))(t); len(known) == 0 {
		t.Error(known)
	}
	if err := client.Update(ctx, "none", Told{Fields: map[string]any{"status": "declined"}}); !errors.Is(err, UnknownEvent) {
		t.Error(err)
	}
}

func TestPeople(t *testing.T) {
	ctx, o := context.Background(), newOwner(t)
	client := o.client()
	defer client.Close()
	must(client.Decide(ctx, paid(1)))(t)
	account := Subject{"account", "a"}
	if err := client.Hold(ctx, account, Said{Reason: "case 12", Source: "court", Until: "90d"}); err != nil {
		t.Error(err)
	}
	if _, err := client.Erase(ctx, []Subject{account}, Said{}); !errors.Is(err, UnderHold) {
		t.Error(err)
	}
	if !must(client.Release(ctx, account))(t) || must(client.Release(ctx, account))(t) {
		t.Error("a hold ends once")
	}
	erased := must(client.Erase(ctx, []Subject{account, {"card", "c-1"}}, Said{Reason: "asked for", Source: "dsr-1"}))(t)
	if erased.Events != 1 || erased.Seq == 0 {
		t.Errorf("%+v", erased)
	}
	if alerts := must(client.Alerts(ctx, 0))(t); len(alerts) != 0 {
		t.Errorf("%+v", alerts)
	}
	must(client.ListAdd(ctx, "blocked", []string{"c-9"}, Change{}))(t)
	listed := map[string]any{"id": "v", "ts": noon, "kind": "payment", "account": "b", "card": "c-9", "amount": 5}
	if err := client.Switch(ctx, Rule, "listed", "shadow", Steered{Reason: "false alarms", By: "ops"}); err != nil {
		t.Error(err)
	}
	if found := must(client.Evaluate(ctx, listed))(t); found.Outcome != "allow" || found.Shadow[0] != "listed" {
		t.Errorf("%+v", found)
	}
	if err := client.Switch(ctx, Rule, "lsted", "on", Steered{}); !errors.Is(err, UnknownName) {
		t.Error(err)
	}
	if err := client.Switch(ctx, Rule, "listed", "on", Steered{}); err != nil {
		t.Error(err)
	}
	if err := client.Snooze(ctx, "listed", "account:b", "90d", Steered{By: "ops"}); err != nil {
		t.Error(err)
	}
	if found := must(client.Evaluate(ctx, listed))(t); found.Outcome != "allow" {
		t.Errorf("%+v", found)
	}
	if err := client.Unsnooze(ctx, "listed", "account:b", Steered{}); err != nil {
		t.Error(err)
	}
	if found := must(client.Evaluate(ctx, listed))(t); found.Outcome != "block" {
		t.Errorf("%+v", found)
	}
}

// A context that ends at the moment of the answer must not end the next call on that connection.
func TestCancelledLate(t *testing.T) {
	o := newOwner(t)
	client := o.client()
	defer client.Close()
	for i := range 300 {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Duration(i)*time.Microsecond, cancel)
		client.Decide(ctx, paid(i))
		must(client.Decide(context.Background(), paid(i)))(t)
	}
}

func TestMany(t *testing.T) {
	ctx, o := context.Background(), newOwner(t)
	client := o.client()
	defer client.Close()
	events := make([]any, 3_000)
	for i := range events {
		events[i] = paid(i)
	}
	decisions := must(client.DecideMany(ctx, events))(t)
	if len(decisions) != len(events) || decisions[2_999].EventID != "e-2999" || decisions[2_999].Seq != decisions[0].Seq+2_999 {
		t.Errorf("%d decisions", len(decisions))
	}
	bad := paid(5_000)
	bad.Kind = "nonsense"
	if _, err := client.DecideMany(ctx, []any{paid(4_000), bad, paid(4_001)}); !errors.Is(err, InvalidEvent) {
		t.Error(err)
	}
	other := make([]any, 200)
	for i := range other {
		one := paid(20_000 + i)
		one.Account = "b"
		other[i] = one
	}
	if err := client.ObserveMany(ctx, other[:199]); err != nil {
		t.Fatal(err)
	}
	if last := must(client.Decide(ctx, other[199]))(t); fmt.Sprint(last.Features["spend"]) != "20000" {
		t.Errorf("%+v", last)
	}
	if err := client.ObserveMany(ctx, []any{bad}); !errors.Is(err, InvalidEvent) {
		t.Error(err)
	}
	var group sync.WaitGroup
	for worker := range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range 100 {
				if _, err := client.Decide(ctx, paid(10_000+100*worker+i)); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	group.Wait()
}

func TestFallback(t *testing.T) {
	o := newOwner(t)
	client := o.client()
	must(client.Decide(context.Background(), paid(1)))(t)
	if _, err := client.Decide(context.Background(), paid(1), Otherwise("alow")); err == nil {
		t.Error("an outcome that is none")
	}
	o.signal(syscall.SIGSTOP)
	slow := func(number int, how ...How) (*Decision, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		started := time.Now()
		decision, err := client.Decide(ctx, paid(number), how...)
		if took := time.Since(started); took > 500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		return decision, err
	}
	if given := must(slow(2, Otherwise("block")))(t); !given.Fallback || given.Outcome != "block" || given.EventID != "e-2" {
		t.Errorf("%+v", given)
	}
	if _, err := slow(3); !errors.Is(err, OwnerUnavailable) {
		t.Error(err)
	}
	o.kill()
	if given := must(slow(4, Otherwise("review")))(t); !given.Fallback {
		t.Errorf("%+v", given)
	}
	o.start()
	for until := time.Now().Add(30 * time.Second); client.Reports().Reported < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%+v", client.Reports())
		}
	}
	for ident, expected := range map[string]string{"e-1": "allow", "e-2": "block", "e-4": "review"} {
		if final := must(client.Final(context.Background(), ident))(t); final != expected {
			t.Errorf("%s: %s", ident, final)
		}
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if _, err := client.Decide(context.Background(), paid(5)); err == nil {
		t.Error("a closed client")
	}
}

func TestCancelled(t *testing.T) {
	o := newOwner(t)
	client := o.client()
	defer client.Close()
	o.signal(syscall.SIGSTOP)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if given, err := client.Decide(ctx, paid(1), Otherwise("allow")); !errors.Is(err, OwnerUnavailable) || !errors.Is(err, context.Canceled) {
		t.Error(given, err)
	}
	slow, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.Decide(slow, paid(1)); !errors.Is(err, context.DeadlineExceeded) || client.Reports().Given > 0 {
		t.Error(err)
	}
	o.signal(syscall.SIGCONT)
	must(client.Decide(context.Background(), paid(2)))(t)
}

// What the caller does with its map afterwards is none of the report's business.
func TestReportIsOfTheEventAsItWas(t *testing.T) {
	o := newOwner(t)
	client := o.client()
	o.kill()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	mine := map[string]any{"id": "m-1", "ts": noon, "kind": "payment", "account": "a", "amount": 5}
	must(client.Decide(ctx, mine, Otherwise("block")))(t)
	text := []byte(`{"id": "j-1", "ts": 1760011200000, "kind": "payment", "account": "a", "amount": 5}`)
	if given := must(client.Decide(ctx, text, Otherwise("block")))(t); given.EventID != "j-1" {
		t.Errorf("%+v", given)
	}
	o.start()
	for client.Reports().Waiting > 0 {
		mine["id"] = "m-2"
		time.Sleep(time.Millisecond)
	}
	for _, ident := range []string{"m-1", "j-1"} {
		if final := must(client.Final(context.Background(), ident))(t); final != "block" {
			t.Errorf("%s: %s", ident, final)
		}
	}
	client.Close()
	client.Close() // does no harm
}

// An answer ends a report; what is none may be one when an owner is there again.
func TestRefusedReports(t *testing.T) {
	for err, expected := range map[error]bool{
		&Error{Class: InvalidEvent}: true, &Error{Class: ProtocolError}: true, &Error{Class: StoreFull}: false,
		&Error{Class: OwnerUnavailable}: false, fmt.Errorf("%w: no owner", ProtocolError): false, net.ErrClosed: false,
	} {
		if refused(err) != expected {
			t.Errorf("%v", err)
		}
	}
}

func TestOutcomesAreThoseOfThePolicyInForce(t *testing.T) {
	ctx, o := context.Background(), newOwner(t)
	client := o.client()
	defer client.Close()
	policy := string(must(os.ReadFile(filepath.Join(vectors, "policy.yaml")))(t))
	policy = strings.Replace(policy, "version: 1", "version: 2\noutcomes: [allow, challenge, review, block]", 1)
	must(client.Reload(ctx, []File{{"policy.yaml", policy}}))(t)
	if decision := must(client.Decide(ctx, paid(1), Otherwise("challenge")))(t); decision.Fallback {
		t.Errorf("%+v", decision)
	}
	if _, err := client.Decide(ctx, paid(2), Otherwise("chalenge")); err == nil || !strings.Contains(err.Error(), "challenge") {
		t.Error(err)
	}
}

func TestAnswersAsGoHasThem(t *testing.T) {
	ctx, o := context.Background(), newOwner(t)
	client := o.client()
	defer client.Close()
	must(client.Decide(ctx, paid(1)))(t)
	must(client.Erase(ctx, []Subject{{"account", "a"}}, Said{}))(t)
	err := client.Update(ctx, "e-1", Told{Fields: map[string]any{"status": "declined"}})
	if !errors.Is(err, EventErased) || !errors.Is(err, UnknownEvent) {
		t.Error(err)
	}
	if changed := must(client.ListAdd(ctx, "blocked", nil, Change{}))(t) + must(client.ListRemove(ctx, "blocked", nil, Change{}))(t); changed != 0 {
		t.Error(changed)
	}
	if _, err := client.Features(ctx, nil); errors.Is(err, ProtocolError) {
		t.Error(err)
	}
	var told Decision
	packed := must(encode(map[string]any{"probability": 0.25, "features": map[string]any{"a": int8(1), "b": uint64(1) << 63, "c": uint64(7), "d": nil}}))(t)
	if err := msgpack.Unmarshal(packed, &told); err != nil {
		t.Fatal(err)
	}
	expected := Values{"a": int64(1), "b": uint64(1) << 63, "c": int64(7), "d": nil}
	if told.Probability != 0.25 || !reflect.DeepEqual(told.Features, expected) {
		t.Errorf("%+v", told)
	}
}

func BenchmarkDecide(b *testing.B) {
	client := newOwner(b).client()
	defer client.Close()
	b.ResetTimer()
	for i := range b.N {
		if _, err := client.Decide(context.Background(), paid(i)); err != nil {
			b.Fatal(err)
		}
	}
}

// thief stands between clients and an owner, and keeps the answer to the first update.
func thief(t *testing.T, owner string) string {
	path := filepath.Join(t.TempDir(), "thief")
	listener := must(net.Listen("unix", path))(t)
	t.Cleanup(func() { listener.Close() })
	stolen := false
	go func() {
		for {
			theirs, err := listener.Accept()
			if err != nil {
				return
			}
			ours, err := net.Dial("unix", owner)
			for err == nil {
				var frame, answer []byte
				if frame, err = oneFrame(theirs); err != nil {
					break
				}
				if _, err = ours.Write(frame); err != nil {
					break
				}
				if answer, err = oneFrame(ours); err != nil {
					break
				}
				if !stolen && bytes.Contains(frame, []byte("update")) {
					stolen = true
					break
				}
				_, err = theirs.Write(answer)
			}
			theirs.Close()
			ours.Close()
		}
	}()
	return path
}

func oneFrame(conn net.Conn) ([]byte, error) {
	frame := make([]byte, headBytes)
	if _, err := io.ReadFull(conn, frame); err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
	_, err := io.ReadFull(conn, frame[headBytes:])
	return frame, err
}

func TestAnUpdateWhoseAnswerGotLostIsToldOnce(t *testing.T) {
	ctx, o := context.Background(), newOwner(t)
	straight := o.client()
	defer straight.Close()
	must(straight.Decide(ctx, paid(1)))(t)
	client := New(thief(t, filepath.Join(o.store, "socket")), Options{Timeout: 30 * time.Second})
	defer client.Close()
	if err := client.Update(ctx, "e-1", Told{Fields: map[string]any{"status": "declined"}}); err != nil {
		t.Fatal(err)
	}
	if told := must(straight.Stats(ctx))(t).Updates; told != 1 {
		t.Errorf("told %v times", told)
	}
}
