//! Attention over a memory: its kinds, and how their scores come from linear layers.

/// The score of attention: how well a step of the memory fits a query.
///
/// The names are those of Luong (dot, general, concat) and Bahdanau (additive). Linear layers are
/// named by their prefixes in the state dict.
///
/// ```
/// use wgpu_rnn::network::Attention;
/// let luong = Attention::general("attn.attn.");
/// let bahdanau = Attention::additive("attention.Wa.", "attention.Ua.", "attention.Va.weight");
/// assert_ne!(luong, bahdanau);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    pub(super) score: Score,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Score {
    Dot,
    General { keys: String },
    Concat { both: String, v: String },
    Additive { query: String, keys: String, v: String },
}

impl Attention {
    /// query · memory. Both have the same number of features.
    pub fn dot() -> Self {
        Self { score: Score::Dot }
    }

    /// query · W(memory), where W is the `nn.Linear` under `keys`.
    pub fn general(keys: &str) -> Self {
        Self { score: Score::General { keys: keys.to_owned() } }
    }

    /// v · tanh(W([query, memory])), where W is the `nn.Linear` under `both`, and `v` is the name
    /// of the vector.
    pub fn concat(both: &str, v: &str) -> Self {
        Self { score: Score::Concat { both: both.to_owned(), v: v.to_owned() } }
    }

    /// V · tanh(W(query) + U(memory)), where W and U are the `nn.Linear` under `query` and `keys`.
    /// `v` is the name of V: a vector, or the weight of an `nn.Linear` with one output. Its bias
    /// adds the same to each score, which changes nothing.
    pub fn additive(query: &str, keys: &str, v: &str) -> Self {
        let [query, keys, v] = [query, keys, v].map(str::to_owned);
        Self { score: Score::Additive { query, keys, v } }
    }
}
