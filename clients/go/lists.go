package frmcore

import "context"

const listValues = 10_000 // in one change

// Change is what is said of values that a list gets. Expires: "90d" from now, or RFC 3339; empty: for good.
type Change struct {
	Reason, Source, Owner, Expires string
}

// Entry is a value of a list, and what was said of it. Of a private list it is a hash. Times are epoch milliseconds.
type Entry struct {
	Value   string `msgpack:"value"`
	Reason  string `msgpack:"reason"`
	Source  string `msgpack:"source"`
	Owner   string `msgpack:"owner"`
	Added   *int64 `msgpack:"added"`   // nil: by the policy
	Expires *int64 `msgpack:"expires"` // nil: it stays
}

// Lists of the policy in force, by name: is it read-only? Those come from the policy.
func (c *Client) Lists(ctx context.Context) (map[string]bool, error) {
	var told map[string]bool
	err := c.ask(ctx, &told, "lists")
	return told, err
}

// ListAdd adds values to a list; how many are new. In parts of 10,000, each checked before its first is added.
func (c *Client) ListAdd(ctx context.Context, list string, values []string, said Change) (int, error) {
	return c.change(ctx, "list_add", list, values, map[string]any{
		"reason": said.Reason, "source": said.Source, "owner": said.Owner, "expires": orNil(said.Expires),
	})
}

// ListRemove removes values from a list; how many were there.
func (c *Client) ListRemove(ctx context.Context, list string, values []string, said Change) (int, error) {
	return c.change(ctx, "list_remove", list, values, map[string]any{"reason": said.Reason, "source": said.Source})
}

// change tells the owner of each part; of no values too: it may have to say that there is no such list.
func (c *Client) change(ctx context.Context, op, list string, values []string, options map[string]any) (int, error) {
	ctx, cancel := c.timed(ctx)
	defer cancel()
	for changed := 0; ; {
		part := values[:min(len(values), listValues)]
		options["values"] = orEmpty(part)
		var some int
		if err := c.ask(ctx, &some, op, list, options); err != nil {
			return changed, err
		}
		changed += some
		if values = values[len(part):]; len(values) == 0 {
			return changed, nil
		}
	}
}

// ListContains says whether a list holds a value now; a list of networks whether one of them holds the address.
func (c *Client) ListContains(ctx context.Context, list, value string) (bool, error) {
	var listed bool
	err := c.ask(ctx, &listed, "list_contains", list, map[string]any{"value": value})
	return listed, err
}

// ListGet gives what is known of a value; nil where it is not listed.
func (c *Client) ListGet(ctx context.Context, list, value string) (*Entry, error) {
	var found *Entry
	err := c.ask(ctx, &found, "list_get", list, map[string]any{"value": value})
	return found, err
}

type listPage struct {
	Size   int      `msgpack:"size"`
	Values []string `msgpack:"values"`
}

func (c *Client) listPage(ctx context.Context, list string, start int) (listPage, error) {
	var page listPage
	err := c.ask(ctx, &page, "list_values", list, from(start))
	return page, err
}

// ListSize says how many values a list has.
func (c *Client) ListSize(ctx context.Context, list string) (int, error) {
	page, err := c.listPage(ctx, list, 0)
	return page.Size, err
}

// ListValues gives all values of a list. They come page by page: what changes meanwhile may be met twice, or not at all.
func (c *Client) ListValues(ctx context.Context, list string) ([]string, error) {
	ctx, cancel := c.timed(ctx)
	defer cancel()
	return all(func(start int) ([]string, error) {
		page, err := c.listPage(ctx, list, start)
		return page.Values, err
	})
}

// all asks for pages until there is nothing behind.
func all[T any](next func(start int) ([]T, error)) ([]T, error) {
	var found []T
	for {
		page, err := next(len(found))
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return found, nil
		}
		found = append(found, page...)
	}
}

func from(start int) map[string]any { return map[string]any{"start": start} }
