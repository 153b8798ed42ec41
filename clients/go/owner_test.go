package frmcore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// asTyped compares an answer in its Go type with the answer itself, so that no part of it is forgotten.
func asTyped(t *testing.T, name string, answer, typed any) {
	t.Helper()
	if got, expected := plain(decoded(t, typed)), plain(answer); !reflect.DeepEqual(got, expected) {
		t.Errorf("%s:\n got %v\nwant %v", name, got, expected)
	}
}

// The vectors' answers, each brought into the type that the client gives.
func TestAnswersOfTheVectorsInTheirTypes(t *testing.T) {
	var steps []struct {
		Name          string
		Send, Receive []any
	}
	load(t, "conversation.json", "h", &steps)
	types := map[string]func() any{
		"explain": func() any { return new(Explanation) }, "list_get": func() any { return new(*Entry) },
		"list_values": func() any { return new(listPage) }, "lists": func() any { return new(map[string]bool) },
		"controls": func() any { return new(Controls) }, "hold_get": func() any { return new(*Hold) },
		"erase": func() any { return new(Erased) }, "health": func() any { return new(Health) },
	}
	for _, step := range steps {
		made := types[step.Send[1].(string)]
		if made == nil || len(step.Receive) > 2 {
			continue
		}
		typed, answer := made(), plain(step.Receive).([]any)
		if err := read(must(encode(answer))(t), typed); err != nil {
			t.Fatal(step.Name, err)
		}
		switch found := typed.(type) {
		case *Explanation:
			if found.Decision.EventID != "p-5" || found.Features[0].Value != int64(1) || *found.Features[0].End != 1760011200071 {
				t.Errorf("%+v", found)
			}
			found.Decision = Decision{} // as it is sent it leaves out what is empty
			answer[1].(map[string]any)["decision"] = decoded(t, found.Decision)
		case *Health:
			answer[1].(map[string]any)["failure"] = "" // nil
		}
		asTyped(t, step.Name, answer[1], typed)
	}
}

func decoded(t *testing.T, value any) any {
	var again any
	if err := msgpack.Unmarshal(must(encode(value))(t), &again); err != nil {
		t.Fatal(err)
	}
	return again
}

func TestExplain(t *testing.T) {
	ctx, o := context.Background(), newOwner(t)
	client := o.client()
	defer client.Close()
	must(client.ListAdd(ctx, "blocked", []string{"c-1"}, Change{}))(t)
	card, first := "c-1", paid(1)
	first.Card = &card
	decision := must(client.Decide(ctx, first))(t)
	for _, point := range []string{"", "checkout"} {
		found := must(client.Explain(ctx, "e-1", point))(t)
		if found.Decision.Seq != decision.Seq || found.Final != "block" || found.Fields["amount"] != int64(100) || !slices.Equal(found.Lists, []string{"blocked"}) {
			t.Errorf("%+v", found)
		}
		rule := found.Rules[0]
		if rule.ID != "listed" || rule.State != "fired" || rule.Tree.Text != "card in blocked" || rule.Tree.Value != true || rule.Tree.Children[0].Value != "c-1" {
			t.Errorf("%+v", rule)
		}
		if many := found.Rules[2]; many.Changes[0].Limit != int64(3) || many.Changes[0].Bound != "at least" {
			t.Errorf("%+v", many)
		}
		if spend := found.Features[1]; spend.Name != "spend" || *spend.End != noon+2 {
			t.Errorf("%+v", spend)
		}
	}
	if _, err := client.Explain(ctx, "e-404", ""); !errors.Is(err, UnknownEvent) {
		t.Error(err)
	}
	if _, err := client.Explain(ctx, "e-1", "chekout"); !errors.Is(err, UnknownName) {
		t.Error(err)
	}
}

func TestLists(t *testing.T) {
	ctx, o := context.Background(), newOwner(t)
	client := o.client()
	defer client.Close()
	if lists := must(client.Lists(ctx))(t); !reflect.DeepEqual(lists, map[string]bool{"blocked": false, "fixed": true, "nets": false}) {
		t.Error(lists)
	}
	values := make([]string, 2*listValues+5)
	for i := range values {
		values[i] = fmt.Sprintf("c-%d", i)
	}
	if added := must(client.ListAdd(ctx, "blocked", values, Change{Reason: "r", Source: "s", Owner: "o", Expires: "90d"}))(t); added != len(values) {
		t.Error(added)
	}
	if size := must(client.ListSize(ctx, "blocked"))(t); size != len(values) {
		t.Error(size)
	}
	if found := must(client.ListValues(ctx, "blocked"))(t); !slices.Equal(found, values) {
		t.Errorf("%d values", len(found))
	}
	entry := must(client.ListGet(ctx, "blocked", "c-7"))(t)
	if entry.Value != "c-7" || entry.Reason != "r" || entry.Source != "s" || entry.Owner != "o" || *entry.Expires-*entry.Added != 90*86_400_000 {
		t.Errorf("%+v", entry)
	}
	if entry := must(client.ListGet(ctx, "fixed", "c-0"))(t); entry.Added != nil || entry.Source != "policy" {
		t.Errorf("%+v", entry)
	}
	if entry := must(client.ListGet(ctx, "blocked", "none"))(t); entry != nil {
		t.Errorf("%+v", entry)
	}
	if removed := must(client.ListRemove(ctx, "blocked", []string{"c-7", "none"}, Change{Reason: "cleared"}))(t); removed != 1 {
		t.Error(removed)
	}
	if _, err := client.ListAdd(ctx, "fixed", []string{"c-1"}, Change{}); !errors.Is(err, ReadOnlyList) {
		t.Error(err)
	}
	if _, err := client.ListValues(ctx, "bloked"); !errors.Is(err, UnknownName) {
		t.Error(err)
	}
	if _, err := client.ListAdd(ctx, "nets", []string{"10.0.0.7/8"}, Change{}); !errors.Is(err, InvalidEvent) {
		t.Error(err)
	}
	must(client.ListAdd(ctx, "nets", []string{"10.0.0.7", "10.0.0.0/8"}, Change{}))(t)
	erased := must(client.Erase(ctx, []Subject{{"ip", "10.0.0.7"}}, Said{}))(t)
	if left := must(client.ListValues(ctx, "nets"))(t); !slices.Equal(left, []string{"10.0.0.0/8"}) || !slices.Equal(erased.Lists, []string{"nets"}) {
		t.Error(left, erased)
	}
	if !must(client.ListContains(ctx, "nets", "10.0.0.7"))(t) {
		t.Error("the wider one holds it")
	}
}

func TestHoldsAndControls(t *testing.T) {
	ctx, o := context.Background(), newOwner(t)
	client := o.client()
	defer client.Close()
	account := Subject{"account", "a"}
	if hold, all := must(client.HoldOf(ctx, account))(t), must(client.Holds(ctx))(t); hold != nil || len(all) > 0 {
		t.Error(hold, all)
	}
	if err := client.Hold(ctx, account, Said{Reason: "case 12", Source: "court", Until: "2100-01-01T00:00:00Z"}); err != nil {
		t.Error(err)
	}
	hold := must(client.HoldOf(ctx, account))(t)
	if hold.Reason != "case 12" || hold.Source != "court" || *hold.Until != time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() {
		t.Errorf("%+v", hold)
	}
	if all := must(client.Holds(ctx))(t); !reflect.DeepEqual(all, []Hold{*hold}) {
		t.Errorf("%+v", all)
	}
	if _, err := client.HoldOf(ctx, Subject{"acount", "a"}); !errors.Is(err, UnknownName) {
		t.Error(err)
	}
	if err := client.Switch(ctx, Rule, "listed", "off", Steered{Reason: "why", By: "ops"}); err != nil {
		t.Error(err)
	}
	if err := client.Snooze(ctx, "net", "account:b", "2100-01-01T00:00:00Z", Steered{By: "ops"}); err != nil {
		t.Error(err)
	}
	told := must(client.Controls(ctx))(t)
	if len(told.Switches) != 1 || len(told.Snoozes) != 1 || len(told.Tripped) != 0 {
		t.Fatalf("%+v", told)
	}
	if off := told.Switches[0]; off.Kind != Rule || off.Name != "listed" || off.State != "off" || off.Reason != "why" || off.By != "ops" || off.At == 0 {
		t.Errorf("%+v", off)
	}
	if asleep := told.Snoozes[0]; asleep.Rule != "net" || asleep.Field != "account" || asleep.Value != "b" || asleep.Until != *hold.Until {
		t.Errorf("%+v", asleep)
	}
	if err := client.ResetBreaker(ctx, "listed", Steered{}); !errors.Is(err, UnknownName) {
		t.Error(err)
	}
}

func TestReload(t *testing.T) {
	ctx, o := context.Background(), newOwner(t)
	client := o.client()
	defer client.Close()
	before := must(client.Health(ctx))(t).Policy
	files := must(client.Policy(ctx))(t)
	if changed := must(client.Reload(ctx, files))(t); changed || len(files) != 1 || before.Version != "1" {
		t.Error(changed, files, before)
	}
	folder := t.TempDir()
	text := strings.Replace(files[0].Text, "version: 1", "version: 2\ninclude: [rules/*.yaml]", 1)
	text = strings.Replace(text, "values: [c-0]", "file: z.txt", 1)
	for name, text := range map[string]string{
		"main.yaml": text, "z.txt": "c-0\nc-5\n", "rules/a.yaml": "rules:\n  - {id: extra, when: amount > money('9'), outcome: review}\n",
	} {
		os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o700)
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files = must(ReadPolicy(filepath.Join(folder, "main.yaml"), "rules/a.yaml", "z.txt"))(t)
	for _, expected := range []bool{true, false} {
		if changed := must(client.Reload(ctx, files))(t); changed != expected {
			t.Error(changed)
		}
	}
	if now := must(client.Health(ctx))(t).Policy; now.Version != "2" || now.Hash == before.Hash || now.Name != "shop" {
		t.Error(now)
	}
	if kept := must(client.Policy(ctx))(t); kept[0].Name != "main.yaml" || len(kept) != 3 || !must(client.ListContains(ctx, "fixed", "c-5"))(t) {
		t.Error(kept)
	}
	big := paid(1)
	big.Amount = 1_000
	if decision := must(client.Decide(ctx, big))(t); !slices.Contains(decision.Fired, "extra") {
		t.Errorf("%+v", decision)
	}
	_, err := client.Reload(ctx, []File{{"p.yaml", "policy: x\nfoo: 1\n"}})
	var told *Error
	if !errors.Is(err, PolicyError) || !errors.As(err, &told) || told.Problems[2].Place != (Place{"p.yaml", 2, 1, 3, ""}) || told.Problems[2].Source != "foo: 1" {
		t.Error(err)
	}
	if _, err := client.Reload(ctx, nil); err == nil || errors.Is(err, OwnerUnavailable) {
		t.Error(err)
	}
	if _, err := client.Reload(ctx, []File{{"p.yaml", strings.Repeat("#", frameBytesMax)}}); !errors.Is(err, ProtocolError) {
		t.Error(err)
	}
	if _, err := ReadPolicy(filepath.Join(folder, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if text := textOf("a.Parquet", []byte{'P', 0, 200}); text != "P\x00\u00c8" {
		t.Errorf("%q", text)
	}
}

func TestStatsAndTheDisk(t *testing.T) {
	ctx, o := context.Background(), newOwner(t)
	client := o.client()
	defer client.Close()
	must(client.Decide(ctx, paid(1)))(t)
	client.Decide(ctx, map[string]any{"id": "x", "ts": noon, "kind": "payment", "account": "a", "amount": "12"})
	if _, err := client.Decide(ctx, 5); !errors.Is(err, InvalidEvent) { // of no field
		t.Error(err)
	}
	if err := client.Flush(ctx); err != nil {
		t.Error(err)
	}
	stats := must(client.Stats(ctx))(t)
	if stats.Decisions != 1 || stats.Invalid["amount"] != 1 || stats.Invalid[""] != 1 || stats.Outcomes["allow"] != 1 || *stats.Watermark != noon+1 || stats.Store.Synced < stats.Seq {
		t.Errorf("%+v", stats)
	}
	if !slices.Contains(stats.Verdicts, Verdicts{Point: "checkout", Outcome: "allow", Count: 1}) || stats.Memory["total"] == 0 || stats.Groups[0].Entity == "" {
		t.Errorf("%+v", stats)
	}
	var told map[string]any
	if err := client.ask(ctx, &told, "stats"); err != nil {
		t.Fatal(err)
	}
	for name, known := range map[string]any{"": *stats, "store": *stats.Store} {
		answer := told
		if name != "" {
			answer = told[name].(map[string]any)
		}
		if got, expected := len(decoded(t, known).(map[string]any)), len(answer); got != expected {
			t.Errorf("%q: %d of %d parts", name, got, expected)
		}
	}
	hash := must(client.StateHash(ctx))(t)
	if must(client.StateHash(ctx))(t) != hash || hash == "" {
		t.Error(hash)
	}
	file := filepath.Join(t.TempDir(), "all.frm")
	if err := client.Snapshot(ctx, file); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if err := client.Snapshot(ctx, "all.frm"); !errors.Is(err, ValueError) {
		t.Error(err)
	}
	if err := client.Update(ctx, "e-1", Told{At: time.UnixMilli(noon + 5), Fields: map[string]any{"status": "declined"}}); err != nil {
		t.Error(err)
	}
	for at, spent := range map[time.Time]int64{time.UnixMilli(noon + 9): 0, {}: 0} {
		if known := must(client.FeaturesAt(ctx, at, map[string]string{"account": "a"}))(t); known["spend"] != spent {
			t.Error(at, known)
		}
	}
}

func TestAnOwnerThatIsAwayEndsEveryCall(t *testing.T) {
	client := New(t.TempDir(), Options{Timeout: 20 * time.Millisecond})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, explain := client.Explain(ctx, "e-1", "")
	_, reload := client.Reload(ctx, nil)
	_, values := client.ListValues(context.Background(), "blocked")
	_, holds := client.Holds(context.Background())
	for _, err := range []error{explain, reload, values, holds, client.Snapshot(ctx, "/x")} {
		if !errors.Is(err, OwnerUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
}
