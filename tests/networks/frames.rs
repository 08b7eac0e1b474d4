//! A frame of a published network is one submission of few dispatches.

use wgpu_rnn::{Device, LoadOptions};

use crate::chains::load;
use crate::networks::fixtures;

#[test]
fn a_frame_takes_few_dispatches() {
    for (name, most) in [("vad", 15), ("rnnoise", 17), ("dtln", 20)] {
        let fixture = fixtures().into_iter().find(|f| f.name == name).expect(name);
        let network = load(&fixture, &Device::cpu(), &LoadOptions::new()).expect(name);
        let plan = network.plan(1, 1).expect("one frame");
        let dispatches = plan.recording.dispatch_count();
        println!("{name}: {dispatches} dispatches a frame");
        assert!(dispatches <= most, "{name}: {dispatches} dispatches a frame, not {most}");
    }
}
