package mirror

import "sync"

// maxFree bounds the goroutines of a crew that wait for work. Each holds a stack
// of some 8 KB.
const maxFree = 64

// crew asks shadow legs, each request in a goroutine of its own. One that is done
// stays for the next request. Fast path: its stack has grown to what a request
// needs, while that of a new goroutine begins small and is copied as it grows
// (BenchmarkMirrored). How many are at work is bounded by mirror.in_flight.
type crew struct {
	mu   sync.Mutex
	free []chan job // of those that wait, the one that got free last at the end
	over bool
}

// job is a request that a shadow leg is to be asked.
type job struct {
	flight *flight
	leg    *leg
}

// ask asks a shadow leg, and returns at once.
func (c *crew) ask(f *flight, l *leg) {
	f.net.asks(l)
	j := job{f, l}
	c.mu.Lock()
	n := len(c.free)
	if n == 0 {
		c.mu.Unlock()
		go c.work(j)
		return
	}
	next := c.free[n-1]
	c.free = c.free[:n-1]
	c.mu.Unlock()
	next <- j // it has room
}

// work does a job, and those that come while it is free.
func (c *crew) work(j job) {
	jobs := make(chan job, 1)
	for more := true; more; {
		j.flight.askShadow(j.leg)
		if !c.wait(jobs) {
			return
		}
		j, more = <-jobs
	}
}

// wait puts a goroutine among those that are free, unless there are enough of them
// or none is wanted any more.
func (c *crew) wait(jobs chan job) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || len(c.free) == maxFree {
		return false
	}
	c.free = append(c.free, jobs)
	return true
}

// end sends away whoever is free, and whoever gets free from now on. What is asked
// afterwards still is.
func (c *crew) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for _, jobs := range c.free {
		close(jobs)
	}
	c.free = nil
}
