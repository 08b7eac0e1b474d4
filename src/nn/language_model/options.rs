//! The options of generation.

/// Bounds of the temperature, 2^-126 and 2^126: any other one but 0 counts as the nearest bound.
const COLDEST: f32 = f32::MIN_POSITIVE;
const HOTTEST: f32 = 1.0 / f32::MIN_POSITIVE;

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct GenerateOptions {
    /// The divisor of the logits. 0 takes the likeliest token, and the first of equals.
    pub temperature: f32,
    /// The number of likeliest tokens to draw from, plus any that tie with the last of them; 0 for
    /// all.
    pub top_k: usize,
    /// The share of probability to draw from: the fewest likeliest tokens, of those that `top_k`
    /// leaves, whose probabilities sum to it, plus any that tie with the last of them; 1 for all.
    pub top_p: f32,
    /// The token that ends a text. The iterator ends when each row has drawn it; a row that ends
    /// before others repeats it. `None` never ends.
    pub stop: Option<u32>,
    /// The seed of the random numbers, which also depend on position and row.
    pub seed: u64,
    /// Tokens of each row in one submission. More keep a GPU busier; fewer arrive more evenly.
    pub chunk: usize,
    /// Tokens of each row that were generated before and now end its prompt. The random numbers
    /// continue after theirs. An interrupted text, after a lost device for example, thus continues
    /// unchanged.
    pub position: usize,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0, stop: None, seed: 0, chunk: 32, position: 0 }
    }
}

impl GenerateOptions {
    /// Sets the temperature.
    #[must_use]
    pub const fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = temperature;
        self
    }

    /// Sets the number of likeliest tokens to draw from.
    #[must_use]
    pub const fn top_k(mut self, top_k: usize) -> Self {
        self.top_k = top_k;
        self
    }

    /// Sets the share of probability to draw from.
    #[must_use]
    pub const fn top_p(mut self, top_p: f32) -> Self {
        self.top_p = top_p;
        self
    }

    /// Sets the token that ends a text.
    #[must_use]
    pub const fn stop(mut self, token: u32) -> Self {
        self.stop = Some(token);
        self
    }

    /// Sets the seed.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the tokens of each row in one submission.
    #[must_use]
    pub const fn chunk(mut self, chunk: usize) -> Self {
        self.chunk = chunk;
        self
    }

    /// Sets the number of tokens generated before.
    #[must_use]
    pub const fn position(mut self, position: usize) -> Self {
        self.position = position;
        self
    }

    /// Returns the settings of `shaders/lib/draw.wgsl` for steps from `position` on.
    pub(super) fn settings(&self, position: usize) -> [u32; 8] {
        // The kernel compares the bits with 0, so −0 becomes 0 here. WGSL guarantees no quotient
        // beyond the bounds. Within them the lowest temperature is greedy and the highest as good
        // as uniform.
        let temperature = match self.temperature {
            0.0 => 0.0,
            temperature => temperature.clamp(COLDEST, HOTTEST),
        };
        [
            self.seed as u32,
            (self.seed >> 32) as u32,
            temperature.to_bits(),
            u32::try_from(self.top_k).unwrap_or(u32::MAX),
            position as u32,
            self.top_p.to_bits(),
            0,
            0,
        ]
    }
}
