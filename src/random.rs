//! PyTorch's CPU generator, so that a seed gives the weights that `torch.manual_seed` gives.

const N: usize = 624;
const M: usize = 397;

/// The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), which `torch.Generator` uses on the CPU.
#[derive(Debug, Clone)]
pub struct Mt19937 {
    state: [u32; N],
    next: usize,
}

impl Mt19937 {
    /// Seeds as `torch.manual_seed(seed)` does: only the low 32 bits count.
    pub fn new(seed: u64) -> Self {
        let mut state = [0_u32; N];
        state[0] = seed as u32;
        for i in 1..N {
            let last = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    /// A value in `[from, to)` from 24 random bits, as `Tensor.uniform_(from, to)` draws an `f32`.
    ///
    /// Rounded once, as in PyTorch for Linux on x86-64, whose compiler fuses the two operations. PyTorch for macOS
    /// rounds twice, so that its values can differ from these in the last bits.
    pub fn uniform(&mut self, from: f32, to: f32) -> f32 {
        let unit = (self.next_u32() & 0x00ff_ffff) as f32 / 16_777_216.0;
        unit.mul_add(to - from, from)
    }

    /// `count` values in `[from, to)`.
    pub fn uniform_vec(&mut self, count: usize, from: f32, to: f32) -> Vec<f32> {
        (0..count).map(|_| self.uniform(from, to)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Mt19937;

    #[test]
    fn matches_the_published_first_output() {
        // The reference implementation's first output for its default seed.
        assert_eq!(Mt19937::new(5489).next_u32(), 3_499_211_612, "MT19937 with seed 5489");
    }
}
