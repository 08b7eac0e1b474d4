//! A test as a user of the library writes it: a network on every device of the machine, against its
//! definition.

use wgpu_rnn::diagnostics::compare::Tolerance;
use wgpu_rnn::diagnostics::{assert_matches, every_device};
use wgpu_rnn::{Config, Params, Result};

#[test]
fn the_network_is_right_on_every_device() -> Result<()> {
    let params = Params::init(&Config::gru(3, 4), 0)?; // or Params::from_state_dict(..)
    assert_matches(&params, every_device()?, Tolerance::F32);
    Ok(())
}
