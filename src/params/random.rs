//! Random numbers from two generators.
//!
//! PyTorch's CPU generator gives the weights that `torch.manual_seed` gives. A counter-based
//! generator gives every device the same numbers in any order.

const N: usize = 624;
const M: usize = 397;

/// The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), which `torch.Generator` uses on
/// the CPU.
#[derive(Debug, Clone)]
pub struct Mt19937 {
    state: [u32; N],
    next: usize,
}

impl Mt19937 {
    /// Seeds the generator as `torch.manual_seed(seed)` does: only the low 32 bits count.
    pub fn new(seed: u64) -> Self {
        let mut state = [0_u32; N];
        state[0] = seed as u32;
        for i in 1..N {
            let last = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    /// Returns the next 32 bits.
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

    /// Returns a value in `[from, to)` from 24 random bits, as `Tensor.uniform_(from, to)` draws an
    /// `f32`.
    ///
    /// It rounds once, like PyTorch for Linux on x86-64, whose compiler fuses the two operations.
    /// PyTorch for macOS rounds twice, so the last bits of its values can differ.
    pub fn uniform(&mut self, from: f32, to: f32) -> f32 {
        let unit = (self.next_u32() & 0x00ff_ffff) as f32 / 16_777_216.0;
        unit.mul_add(to - from, from)
    }

    /// Returns `count` values in `[from, to)`.
    pub fn uniform_vec(&mut self, count: usize, from: f32, to: f32) -> Vec<f32> {
        (0..count).map(|_| self.uniform(from, to)).collect()
    }

    /// Skips `count` values of [`uniform`](Self::uniform).
    pub fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next_u32();
        }
    }

    /// Skips the random bits that `Tensor.normal_()` draws for `count` values of `f32` on the CPU.
    ///
    /// From 16 values on, each takes one uniform `f32`. If blocks of 16 leave a remainder,
    /// PyTorch draws the last block again. Fewer values come in pairs from two uniform `f64`.
    pub fn skip_normal(&mut self, count: usize) {
        let words = match count {
            0..16 => 4 * count.div_ceil(2),
            _ if count.is_multiple_of(16) => count,
            _ => count + 16,
        };
        self.skip(words);
    }
}

/// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, 2011): four random words for each counter and key.
///
/// The twin of `shaders/lib/philox.wgsl`.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let product = |a: u32, b: u32| {
        let wide = u64::from(a) * u64::from(b);
        ((wide >> 32) as u32, wide as u32)
    };
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let (high_0, low_0) = product(0xd251_1f53, c0);
        let (high_2, low_2) = product(0xcd9e_8d57, c2);
        (c0, c1, c2, c3) = (high_2 ^ c1 ^ k0, low_2, high_0 ^ c3 ^ k1, low_0);
        (k0, k1) = (k0.wrapping_add(0x9e37_79b9), k1.wrapping_add(0xbb67_ae85));
    }
    [c0, c1, c2, c3]
}

/// Returns the threshold and the scale with which the kernel `dropout` drops values with
/// probability `p`.
///
/// The kernel zeroes a value whose random word is below the threshold, and multiplies the others by
/// the scale. The scale is 1 / (1 − p), or 0 where `p` is 1.
pub fn dropout_constants(p: f64) -> (u32, f32) {
    // The conversion by `as` saturates: 2^32 becomes the largest word.
    let threshold = (p * 4_294_967_296.0).round() as u32;
    (threshold, if p < 1.0 { (1.0 / (1.0 - p)) as f32 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::{Mt19937, dropout_constants, philox4x32};

    #[test]
    fn matches_the_published_first_output() {
        // The reference implementation's first output for its default seed.
        assert_eq!(Mt19937::new(5489).next_u32(), 3_499_211_612, "MT19937 with seed 5489");
    }

    #[test]
    fn philox_matches_the_published_answers() {
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        for (counter, key, want) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (pi, [0xa409_3822, 0x299f_31d0], [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
        ] {
            assert_eq!(philox4x32(counter, key), want, "counter {counter:x?}, key {key:x?}");
        }
    }

    #[test]
    fn dropout_keeps_everything_half_or_nothing() {
        assert_eq!(dropout_constants(0.0), (0, 1.0), "every word is kept as it is");
        assert_eq!(dropout_constants(0.5), (1 << 31, 2.0), "half of the words");
        assert_eq!(dropout_constants(0.9), (3_865_470_566, 10.0), "a tenth of the words");
        assert_eq!(dropout_constants(1.0), (u32::MAX, 0.0), "nothing is left of what is kept");
        let almost = dropout_constants(1.0 - f64::EPSILON);
        assert_eq!(almost, (u32::MAX, 2.0_f32.powi(52)), "close to 1");
    }
}
