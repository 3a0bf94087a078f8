package dataset

// sampleSeed is the random_state of every sample in OpenHands/benchmarks (utils/dataset.py).
const sampleSeed = 42

// Sample returns the rows that an evaluation with this limit draws: those of pandas' df.sample(n=min(n, len(df)),
// random_state=42), in that order. With limit 0 it returns all rows in their own order.
//
// The rows of a smaller limit are the first rows of a larger one.
func Sample(rows []Row, limit int) []Row {
	if limit <= 0 {
		return rows
	}
	indices := permutation(len(rows), limit, sampleSeed)
	drawn := make([]Row, len(indices))
	for i, index := range indices {
		drawn[i] = rows[index]
	}
	return drawn
}

// permutation returns the first n of the numbers below length, shuffled. pandas calls
// numpy.random.RandomState(seed).choice(length, n, replace=False), which is permutation(length)[:n]. NumPy will not
// change that stream of numbers (NEP 19), so this function can reproduce it bit for bit.
func permutation(length, n int, seed uint32) []int {
	indices := make([]int, length)
	for i := range indices {
		indices[i] = i
	}
	random := newMT19937(seed)
	for i := length - 1; i > 0; i-- {
		j := random.interval(uint32(i))
		indices[i], indices[j] = indices[j], indices[i]
	}
	return indices[:min(n, length)]
}

// The constants of MT19937 (Matsumoto and Nishimura, 1998).
const (
	mtSize    = 624
	mtShift   = 397
	mtMatrix  = 0x9908b0df
	upperBit  = 0x80000000
	lowerBits = 0x7fffffff
)

// mt19937 is the Mersenne Twister of numpy.random.RandomState. math/rand has no such generator.
type mt19937 struct {
	key  [mtSize]uint32
	next int
}

// newMT19937 seeds as numpy's mt19937_seed does. Other libraries seed with init_by_array.
func newMT19937(seed uint32) *mt19937 {
	t := &mt19937{next: mtSize}
	for i := range t.key {
		t.key[i] = seed
		seed = 1812433253*(seed^seed>>30) + uint32(i) + 1
	}
	return t
}

// uint32 returns the next 32 bits of the stream.
func (t *mt19937) uint32() uint32 {
	if t.next == mtSize {
		t.refill()
	}
	y := t.key[t.next]
	t.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

func (t *mt19937) refill() {
	for i := range t.key {
		y := t.key[i]&upperBit | t.key[(i+1)%mtSize]&lowerBits
		t.key[i] = t.key[(i+mtShift)%mtSize] ^ y>>1 ^ y&1*mtMatrix
	}
	t.next = 0
}

// interval returns a number from 0 to highest, both included. As numpy's legacy random_interval does, it masks each draw
// to the bits that highest needs, and draws again if the result is too large. Another method would consume the stream
// differently.
func (t *mt19937) interval(highest uint32) uint32 {
	mask := highest
	for shift := 1; shift < 32; shift *= 2 {
		mask |= mask >> shift
	}
	for {
		if drawn := t.uint32() & mask; drawn <= highest {
			return drawn
		}
	}
}
