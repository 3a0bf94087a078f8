package dataset

// sampleSeed is the random_state of every sampling in OpenHands/benchmarks (utils/dataset.py).
const sampleSeed = 42

// Sample draws the rows that an evaluation with this limit draws: those of pandas' df.sample(n=min(n, len(df)),
// random_state=42), in that order. Without a limit, 0, it gives all rows in theirs.
//
// A smaller limit's rows are the first of a larger one's.
func Sample(rows []Row, limit int) []Row {
	if limit <= 0 {
		return rows
	}
	indices := sample(len(rows), limit, sampleSeed)
	drawn := make([]Row, len(indices))
	for i, index := range indices {
		drawn[i] = rows[index]
	}
	return drawn
}

// sample gives the first n of the numbers below length, shuffled. pandas leaves the choice to
// numpy.random.RandomState(seed).choice(length, n, replace=False), which is permutation(length)[:n]. NumPy has frozen
// that stream for good (NEP 19), so that this can be its equal, bit for bit.
func sample(length, n int, seed uint32) []int {
	indices := make([]int, length)
	for i := range indices {
		indices[i] = i
	}
	twister := newTwister(seed)
	for i := length - 1; i > 0; i-- {
		j := twister.upTo(uint32(i))
		indices[i], indices[j] = indices[j], indices[i]
	}
	return indices[:min(n, length)]
}

// The constants of MT19937 (Matsumoto and Nishimura, 1998).
const (
	twisterSize   = 624
	twisterShift  = 397
	twisterMatrix = 0x9908b0df
	upperBit      = 0x80000000
	lowerBits     = 0x7fffffff
)

// twister is the generator MT19937 as numpy.random.RandomState has it. (math/rand has no such generator.)
type twister struct {
	key  [twisterSize]uint32
	next int
}

// newTwister seeds as numpy's mt19937_seed does, which is not the init_by_array of other libraries.
func newTwister(seed uint32) *twister {
	t := &twister{next: twisterSize}
	for i := range t.key {
		t.key[i] = seed
		seed = 1812433253*(seed^seed>>30) + uint32(i) + 1
	}
	return t
}

// uint32 is the next 32 bits of the stream.
func (t *twister) uint32() uint32 {
	if t.next == twisterSize {
		t.refill()
	}
	y := t.key[t.next]
	t.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

func (t *twister) refill() {
	for i := range t.key {
		y := t.key[i]&upperBit | t.key[(i+1)%twisterSize]&lowerBits
		t.key[i] = t.key[(i+twisterShift)%twisterSize] ^ y>>1 ^ y&1*twisterMatrix
	}
	t.next = 0
}

// upTo is a number from 0 to highest. As numpy's legacy interval does, it cuts draws to the bits that highest needs, and
// draws anew what is still too large: any other way to bring a draw into range uses up the stream differently.
func (t *twister) upTo(highest uint32) uint32 {
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
