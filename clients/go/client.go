package frmcore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Version of this client.
const Version = "0.1.0"

const (
	firstPause   = time.Millisecond // before another try to connect; doubled each time
	longestPause = 50 * time.Millisecond
	batchEvents  = 64 // in one frame: nobody waits longer than for as many decisions
)

// Options of a Client.
type Options struct {
	// Timeout of a call whose context has no deadline; 5 seconds where it is 0.
	Timeout time.Duration
	// Idle connections that are kept; 16 where it is 0.
	Idle int
}

// Client reaches an owner.
type Client struct {
	path     string
	options  Options
	reporter *reporter

	mutex  sync.Mutex
	idle   []*wire
	policy *policyFacts
	closed bool
}

// New makes a client. path: the store's folder, or the socket. The owner need not be there yet.
func New(path string, options Options) *Client {
	if options.Timeout <= 0 {
		options.Timeout = 5 * time.Second
	}
	if options.Idle <= 0 {
		options.Idle = 16
	}
	client := &Client{path: path, options: options}
	client.reporter = newReporter(client)
	return client
}

// Close ends the client. Events that the owner has not heard of yet get a second to be told.
func (c *Client) Close() error {
	lost := c.reporter.close(time.Second)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.closed = true
	for _, each := range c.idle {
		each.conn.Close()
	}
	c.idle = nil
	if lost > 0 {
		return fmt.Errorf("%d events took effect undecided, and the owner never heard of them", lost)
	}
	return nil
}

// socket is looked for each time: the owner may make the folder later.
func (c *Client) socket() string {
	if info, err := os.Stat(c.path); err == nil && info.IsDir() {
		return filepath.Join(c.path, "socket")
	}
	return c.path
}

// ask makes one call, on another connection where one breaks, until the context ends.
func (c *Client) ask(ctx context.Context, result any, asked ...any) error {
	return c.use(ctx, func(ctx context.Context, w *wire) error { return w.call(ctx, result, asked...) })
}

// timed gives a context a deadline where it has none.
func (c *Client) timed(ctx context.Context) (context.Context, context.CancelFunc) {
	return within(ctx, c.options.Timeout)
}

func within(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, patience)
}

func (c *Client) use(ctx context.Context, work func(context.Context, *wire) error) error {
	ctx, cancel := c.timed(ctx)
	defer cancel()
	pause := firstPause
	for {
		err := c.once(ctx, work)
		if err == nil || final(err) {
			return err
		}
		if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return c.unavailable(ctx, err)
		}
		select {
		case <-ctx.Done():
			return c.unavailable(ctx, err)
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// final errors are answers; others may go away.
func final(err error) bool {
	var told *Error
	if errors.As(err, &told) && told.Class != OwnerUnavailable {
		return true
	}
	return errors.Is(err, ProtocolError) || errors.Is(err, net.ErrClosed)
}

func (c *Client) unavailable(ctx context.Context, err error) error {
	cause := cmp.Or(ctx.Err(), context.DeadlineExceeded) // the connection's deadline may be a moment sooner
	return &Error{Class: OwnerUnavailable, cause: cause, Message: fmt.Sprintf(
		"%s: %v. Is `frmcore serve` running there? What was asked may have been done: the same event sent again counts once", c.path, err,
	)}
}

func (c *Client) once(ctx context.Context, work func(context.Context, *wire) error) error {
	w, err := c.take(ctx)
	if err != nil {
		return err
	}
	err = work(ctx, w)
	var told *Error
	if err != nil && !(errors.As(err, &told) && !errors.Is(err, errEnded)) {
		w.conn.Close()
		if !errors.Is(err, os.ErrDeadlineExceeded) { // the owner went: the others that wait are dead too
			c.forget()
		}
		return err
	}
	c.give(w)
	return err
}

func (c *Client) take(ctx context.Context) (*wire, error) {
	c.mutex.Lock()
	if c.closed {
		c.mutex.Unlock()
		return nil, net.ErrClosed
	}
	if last := len(c.idle) - 1; last >= 0 {
		w := c.idle[last]
		c.idle = c.idle[:last]
		c.mutex.Unlock()
		return w, nil
	}
	c.mutex.Unlock()
	return c.connect(ctx)
}

// connect makes a connection, whatever waits.
func (c *Client) connect(ctx context.Context) (*wire, error) {
	w, err := open(ctx, c.socket())
	if err != nil {
		return nil, err
	}
	c.mutex.Lock()
	c.policy = &w.policy
	c.mutex.Unlock()
	return w, nil
}

func (c *Client) give(w *wire) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.closed || w.spoiled || len(c.idle) >= c.options.Idle {
		w.conn.Close()
		return
	}
	c.idle = append(c.idle, w)
}

func (c *Client) forget() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, each := range c.idle {
		each.conn.Close()
	}
	c.idle = nil
}

// facts of the policy, as of the last connection; nil before the first.
func (c *Client) facts() *policyFacts {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.policy
}

// checkOtherwise greets the owner anew before it refuses an outcome: another policy may be in force since the last
// connection was made. Where nobody answers none is refused.
func (c *Client) checkOtherwise(ctx context.Context, outcome string) error {
	known := c.facts()
	if outcome == "" || known == nil || slices.Contains(known.Outcomes, outcome) {
		return nil
	}
	w, err := c.connect(ctx)
	if err != nil {
		return nil
	}
	c.give(w)
	if !slices.Contains(w.policy.Outcomes, outcome) {
		return fmt.Errorf("otherwise: expected one of %v, got %q", w.policy.Outcomes, outcome)
	}
	return nil
}
