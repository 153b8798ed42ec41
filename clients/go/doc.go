// Package frmcore asks an frmcore owner process (`frmcore serve`) for fraud decisions over its unix socket.
//
//	client := frmcore.New("/var/lib/frm", frmcore.Options{})
//	defer client.Close()
//
//	type Payment struct {
//		ID      string `msgpack:"id"`
//		Time    int64  `msgpack:"time"` // epoch milliseconds
//		Kind    string `msgpack:"kind"`
//		Account string `msgpack:"account"`
//		Amount  int64  `msgpack:"amount"` // minor units
//	}
//
//	ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
//	defer cancel()
//	decision, err := client.Decide(ctx, Payment{...}, frmcore.Otherwise("review"))
//
// An event is a struct with msgpack tags, named as in the policy, or a map. Optional fields are pointers, or have
// omitempty. A Client is safe for concurrent use; each call that is under way has a connection of its own.
//
// What a Decision rests on is in Explain. Lists are changed with ListAdd and ListRemove, rules steered with Switch,
// Snooze and Reload, persons erased with Erase unless Hold stands against it. An error of the owner is an *Error, whose
// Class errors.Is finds.
package frmcore
