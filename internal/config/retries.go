package config

import "strconv"

// defaultMaxRetries makes three attempts in all, as the workflows of OpenHands/benchmarks do for their environment images.
// What passes by itself has passed by then: the waits between the attempts add up to seconds for a lost connection, and
// to minutes for a registry that asks to slow down.
const defaultMaxRetries = "2"

// mostRetries keeps a slip from becoming a run that never ends: the waits double.
const mostRetries = 20

func (p *parser) maxRetries() int {
	const input = "max-retries"
	v := p.or(input, defaultMaxRetries)
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > mostRetries {
		p.wrong(input, "write how many attempts may follow the first one, from 0 to "+strconv.Itoa(mostRetries),
			"%s is not a whole number from 0 to %d", Quote(v), mostRetries)
		return 0
	}
	return n
}
