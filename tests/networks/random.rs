//! Random networks match their definition in f64.

use wgpu_rnn::Device;
use wgpu_rnn::diagnostics::compare::Tolerance;
use wgpu_rnn::diagnostics::matches;
use wgpu_rnn::internals::params::random::Mt19937;

use crate::random_networks::RandomNetwork;

/// Long chains add up their rounding, and norms of nearly equal values enlarge it.
const TOLERANCE: Tolerance = Tolerance::new(1e-4, 1e-4);

#[test]
fn random_networks_match_their_definition() {
    let mut random = Mt19937::new(16);
    let (mut failed, mut compared) = (Vec::new(), 0);
    for index in 0..600 {
        let network = RandomNetwork::new(&mut random, 1 + index % 12).expect("a network");
        let params = network.definition.read(&network.weights, "").expect("its weights");
        for sizes in [(6, 2), (13, 1)] {
            match matches(&params, [Device::cpu()], TOLERANCE, &[sizes]) {
                Ok(found) => {
                    compared += 1;
                    if !found[0].agrees() {
                        failed.push(format!(
                            "{index} {sizes:?}: {}\n{:?}",
                            found[0], network.definition
                        ));
                    }
                }
                Err(error) => {
                    let text = error.to_string();
                    if !text.contains("positions") && !text.contains("actual input size") {
                        failed.push(format!("{index}: {error}\n{:?}", network.definition));
                    }
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n\n"));
    assert!(compared > 800, "only {compared} runs were compared");
}
