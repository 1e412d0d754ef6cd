package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"parallax"
	"parallax/divergence"
	"parallax/mirror/redisqueue"
)

const storeUsage = "store rebuild -c FILE [--settle 2m]"

// runStore is the verb store: what is done with the store besides writing and reading.
func runStore(ctx context.Context, e env, args []string) int {
	return e.deed(ctx, "store", storeUsage, args, []deed{{"rebuild", runStoreRebuild}})
}

// runStoreRebuild makes the accounting of every service whole where processes, or the Redis
// between them, were killed, and says what it changed.
func runStoreRebuild(ctx context.Context, e env, args []string) int {
	set := e.flags("store rebuild", storeUsage)
	file := set.String("c", "", "configuration `FILE` of any of the processes")
	settle := set.Duration("settle", 2*time.Minute, "leave alone what is younger: all processes have stored by then what they counted")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if wrong := needsConfig(set, *file); wrong != "" {
		return e.misuse(storeUsage, "%s", wrong)
	}
	cfg, faults, err := loadConfig(*file)
	if err != nil {
		return e.fail("%v", err)
	}
	if len(faults) > 0 {
		printFaults(e.stderr, faults)
		return exitError
	}
	if err := e.rebuild(ctx, cfg, *settle); err != nil {
		return e.fail("%v", err)
	}
	return exitGood
}

func (e env) rebuild(ctx context.Context, cfg Config, settle time.Duration) (err error) {
	waiting, err := inStream(ctx, cfg)
	if err != nil {
		return err
	}
	store, err := sharedStore(cfg.Store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	newID := parallax.NewIDSource(time.Now, rand.Reader)
	for _, s := range cfg.Services {
		r, err := store.Rebuild(ctx, s.Name, "rebuild-"+newID().String(), time.Now(), settle, waiting)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s: %s\n", s.Name, told(r))
	}
	return nil
}

// told is what a rebuild changed, in a sentence.
func told(r divergence.Rebuilt) string {
	if r == (divergence.Rebuilt{}) {
		return "everything adds up"
	}
	return fmt.Sprintf("%d exchanges that are nowhere any more now count as lost{redis}, %d that no mirror had counted as received; "+
		"%d counts of the stream were corrected, %d rows that were there twice are there once, and the totals of %d processes that are gone were made anew",
		r.Lost, r.Received, r.Returned, r.Twice, r.Instances)
}

// inStream returns what waits in Redis to be compared.
func inStream(ctx context.Context, cfg Config) (_ map[parallax.Stamp]int64, err error) {
	if cfg.Queue.URL == "" {
		return nil, errors.New("queue.redis is empty: one process does everything, and its accounting needs no rebuilding")
	}
	queue, err := redisqueue.Open(cfg.Queue.Config, redisqueue.Deps{Key: make([]byte, 32)}) // nothing is read that is encrypted
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, queue.Shut()) }()
	return queue.Cells(ctx)
}

// sharedStore opens the store that several processes use.
func sharedStore(c StoreConfig) (*divergence.Store, error) {
	if c.ClickHouse == "" && c.Socket != "" {
		c.ClickHouse = "unix://" + c.Socket
	}
	opts, err := c.options()
	if err != nil {
		return nil, fmt.Errorf("cannot open the store: %w", err)
	}
	return divergence.Open(opts)
}
