package frmcore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// purchase is an event of bench/r1.yaml.
type purchase struct {
	ID       string `msgpack:"id"`
	Time     int64  `msgpack:"ts"`
	Account  string `msgpack:"account_id"`
	Card     string `msgpack:"card_id"`
	Device   string `msgpack:"device_id"`
	IP       string `msgpack:"ip"`
	Merchant string `msgpack:"merchant_id"`
	Country  string `msgpack:"country"`
	Currency string `msgpack:"currency"`
	Amount   int64  `msgpack:"amount"`
	Email    string `msgpack:"email"`
	Channel  string `msgpack:"channel"`
}

func purchases(count int) []purchase {
	random, now := rand.New(rand.NewPCG(1, 2)), time.Now().UnixMilli()
	made := make([]purchase, count)
	for i := range made {
		made[i] = purchase{
			ID: fmt.Sprintf("go-%d-%d", now, i), Time: now, Country: "DE", Currency: "EUR", Channel: "web",
			Account: fmt.Sprintf("a%d", random.IntN(20_000)), Card: fmt.Sprintf("c%d", random.IntN(30_000)),
			Device: fmt.Sprintf("d%d", random.IntN(20_000)), Merchant: fmt.Sprintf("m%d", random.IntN(500)),
			IP: fmt.Sprintf("10.0.%d.%d", random.IntN(256), random.IntN(256)), Amount: 100 + random.Int64N(50_000),
			Email: fmt.Sprintf("x%d@example.com", random.IntN(20_000)),
		}
	}
	return made
}

// BenchmarkRoundTrip times single decisions of an owner of bench/r1.yaml, whose folder FRMCORE_STORE names: what
// bench/serve_times.py shows beside Python's and Redis's.
func BenchmarkRoundTrip(b *testing.B) {
	store := os.Getenv("FRMCORE_STORE")
	if store == "" {
		b.Skip("FRMCORE_STORE names no owner: see bench/serve_times.py")
	}
	client := New(store, Options{Timeout: 30 * time.Second})
	defer client.Close()
	events := purchases(b.N)
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	for i := range b.N {
		started := time.Now()
		if _, err := client.Decide(context.Background(), events[i]); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(started)
	}
	slices.Sort(took)
	for name, share := range map[string]float64{"p50-ns": 0.5, "p99-ns": 0.99, "p999-ns": 0.999} {
		b.ReportMetric(float64(took[int(share*float64(b.N-1))].Nanoseconds()), name)
	}
}
