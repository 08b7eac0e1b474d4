//! A frame of a published network is one submission of few dispatches.

use wgpu_rnn::Device;

use crate::chains::load;
use crate::networks::fixtures;

#[test]
fn a_frame_takes_few_dispatches() {
    for (name, most) in [("vad", 16), ("rnnoise", 15), ("dtln", 22)] {
        let fixture = fixtures().into_iter().find(|f| f.name == name).expect(name);
        let network = load(&fixture, &Device::cpu()).expect(name);
        let plan = network.plan(1, 1).expect("one frame");
        let dispatches = plan.recording.dispatch_count();
        println!("{name}: {dispatches} dispatches a frame");
        assert!(dispatches <= most, "{name}: {dispatches} dispatches a frame, not {most}");
    }
}
