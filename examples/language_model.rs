//! A language model: its perplexity on a text, the likeliest next tokens, and generated text.
//!
//!     cargo run --release --example language_model -- [WEIGHTS] [DEVICE]
//!
//! WEIGHTS is a state dict of PyTorch's word-language-model example, with the vocabulary in the
//! metadata. Without it, the character model that ships runs. DEVICE is `auto`, `cpu` or part of an
//! adapter's name.

use std::io::Write;

use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, Vocabulary};
use wgpu_rnn::{Device, StateDict};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/shakespeare.safetensors");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let weights = StateDict::open(args.next().unwrap_or_else(|| SHIPPED.to_owned()))?;
    let device = Device::open(&args.next().unwrap_or_else(|| "auto".to_owned()))?;
    let model = LanguageModel::load(&device, &weights, "")?;
    let vocabulary =
        Vocabulary::from_state_dict_metadata(&weights)?.ok_or("the metadata has no vocabulary")?;
    println!("{:?} on {device}\n", model.config());

    // Scoring reads only the losses back from the device.
    let text = "O Romeo, Romeo! wherefore art thou Romeo?\nDeny thy father and refuse thy name;\n";
    let tokens = vocabulary.encode(text)?;
    let score = model.score(&tokens, 1)?;
    println!("{text}perplexity {:.2} over {} tokens\n", score.perplexity(), score.tokens);

    // The next call continues from the state that comes with the logits.
    let (logits, state) = model.forward(&tokens, 1, None)?;
    let last = logits.row(tokens.len() - 1);
    let mut ids: Vec<u32> = (0..).take(last.len()).collect();
    ids.sort_by(|&a, &b| last[b as usize].total_cmp(&last[a as usize]));
    for &id in &ids[..3] {
        println!(
            "next may be {:?}, logit {:.2}",
            vocabulary.token(id).unwrap_or_default(),
            last[id as usize]
        );
    }
    let (logits, _) = model.forward(&ids[..1], 1, Some(&state))?;
    println!("one step further: {:?}\n", logits.shape());

    // Sampling runs on the device, which returns only tokens.
    for step in
        model.generate(&[&tokens], &GenerateOptions::default().temperature(0.7).seed(3))?.take(300)
    {
        print!("{}", vocabulary.decode(&step?)?);
        std::io::stdout().flush()?;
    }
    println!();
    Ok(())
}
