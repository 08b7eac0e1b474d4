//! Sessions: copies between buffers on the device.

use std::sync::Arc;

use libtest_mimic::Failed;
use wgpu_rnn::internals::engine::session::{Session, Weights};
use wgpu_rnn::internals::plan::recording::{Axis, BufferId, BufferSpec, Command, Recording, Role};
use wgpu_rnn::{Device, Error};

use crate::{Machine, Target, ensure};

const WEIGHT: BufferId = BufferId(0);
const A: BufferId = BufferId(1);
const B: BufferId = BufferId(2);
const SHORT: BufferId = BufferId(3);

/// Returns a session with a weight, two buffers of its size, a shorter one, and no commands.
fn session(device: &Device) -> Result<Session, Failed> {
    let buffer = |label: &str, len, role| BufferSpec {
        label: label.to_owned(),
        axes: vec![(Axis::Unit, len)],
        role,
    };
    let weight = buffer("weight", 4, Role::Weight);
    let weights = Weights::load(device.engine(), std::slice::from_ref(&weight), |_| vec![9.0; 4])?;
    let [a, b] = ["a", "b"].map(|label| buffer(label, 4, Role::State));
    let buffers = vec![weight, a, b, buffer("short", 3, Role::State)];
    Ok(Session::new(Arc::new(Recording { buffers, ..Recording::default() }), &weights)?)
}

/// The host reads and writes each part of a buffer as a separate buffer.
pub fn parts(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let buffer = |len| BufferSpec {
        label: "buffer".to_owned(),
        axes: vec![(Axis::Unit, len)],
        role: Role::State,
    };
    let mut recording = Recording::default();
    let [whole, other] = [6, 2].map(|len| recording.buffer(buffer(len)));
    let [first, last] = [0, 4].map(|start| recording.part(whole, start, buffer(2)));
    ensure(recording.size() == 8 * 4, "parts take no room of their own")?;
    let weights = Weights::load(device.engine(), &[], |_| Vec::new())?;
    let mut session = Session::new(Arc::new(recording.clone()), &weights)?;
    let holds = |session: &Session, id, want: &[f32]| -> Result<(), Failed> {
        let found = session.read(id)?;
        ensure(found == want, format!("{id:?} holds {found:?}, want {want:?}"))
    };
    session.write(whole, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    holds(&session, first, &[1.0, 2.0])?;
    holds(&session, last, &[5.0, 6.0])?;
    session.write(last, &[7.0, 8.0])?;
    session.carry(&[(last, other), (last, last)])?;
    holds(&session, other, &[7.0, 8.0])?;
    session.write(other, &[9.0, 10.0])?;
    let mut next = Session::new(Arc::new(recording), &weights)?;
    next.carry_from(&session, &[(last, first), (other, last)])?;
    holds(&next, whole, &[7.0, 8.0, 0.0, 0.0, 9.0, 10.0])?;
    let results = session.run(&[last, whole], &[(other, first)])?;
    ensure(
        results == [vec![7.0, 8.0], vec![1.0, 2.0, 3.0, 4.0, 7.0, 8.0]],
        format!("{results:?}"),
    )?;
    holds(&session, whole, &[9.0, 10.0, 3.0, 4.0, 7.0, 8.0])
}

/// Clears keep their place among writes, copies and reads.
pub fn clears(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let buffer = |len| BufferSpec {
        label: "buffer".to_owned(),
        axes: vec![(Axis::Unit, len)],
        role: Role::State,
    };
    let mut recording = Recording::default();
    let [whole, other] = [6, 6].map(|len| recording.buffer(buffer(len)));
    let [first, last] = [0, 4].map(|start| recording.part(whole, start, buffer(2)));
    let weights = Weights::load(device.engine(), &[], |_| Vec::new())?;
    let mut session = Session::new(Arc::new(recording.clone()), &weights)?;
    let mut next = Session::new(Arc::new(recording.clone()), &weights)?;
    let clear = Command::Clear { buffer: whole, start: 3, len: 2 };
    let clearing = Recording { commands: vec![clear], flag: Some(other), ..recording };
    let holds = |session: &Session, id, want: [f32; 6]| -> Result<(), Failed> {
        let found = session.read(id)?;
        ensure(found == want, format!("{id:?} holds {found:?}, want {want:?}"))
    };
    let (ones, twos) = ([1.0; 6], [2.0; 6]);
    session.write(whole, &ones)?;
    session.set(whole, None)?;
    holds(&session, whole, [0.0; 6])?;
    session.set(whole, Some(&ones))?;
    session.set(last, None)?;
    holds(&session, whole, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0])?;
    // A later write counts: of all values, of some, and of others.
    session.set(first, None)?;
    session.write(whole, &twos)?;
    holds(&session, whole, twos)?;
    session.set(whole, None)?;
    session.write_at(whole, 1, &[3.0])?;
    session.set(last, None)?;
    session.write(first, &[4.0])?;
    holds(&session, whole, [4.0, 3.0, 0.0, 0.0, 0.0, 0.0])?;
    // A copy reads zeros, and a run leaves them.
    session.write(whole, &ones)?;
    session.set(last, None)?;
    next.carry_from(&session, &[(whole, other)])?;
    holds(&next, other, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0])?;
    session.set(first, None)?;
    let results = session.run(&[first, whole], &[(whole, other)])?;
    let want = [vec![0.0, 0.0], vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0]];
    ensure(results == want, format!("{results:?}"))?;
    holds(&session, other, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0])?;
    // A command clears values in the middle of a buffer. A flag comes before the results.
    let mut session = Session::new(Arc::new(clearing), &weights)?;
    session.write(whole, &ones)?;
    let results = session.run(&[whole, first], &[])?;
    let want = [vec![1.0, 1.0, 1.0, 0.0, 0.0, 1.0], vec![1.0, 1.0]];
    ensure(results == want, format!("{results:?}"))
}

fn refused(result: Result<(), Error>, want: &str) -> Result<(), Failed> {
    let message = result.map_err(|error| error.to_string());
    ensure(message == Err(want.to_owned()), format!("{message:?}, want {want}"))
}

/// Copies keep their place among writes, other copies and reads.
pub fn carry(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let mut one = session(&device)?;
    let holds = |session: &Session, id, value: f32| -> Result<(), Failed> {
        let found = session.read(id)?;
        ensure(found == [value; 4], format!("{id:?} holds {found:?}, want {value}"))
    };
    one.write(A, &[1.0; 4])?;
    one.carry(&[(A, B)])?;
    one.write(A, &[2.0; 4])?;
    holds(&one, B, 1.0)?;
    holds(&one, A, 2.0)?;
    one.carry(&[(A, B), (WEIGHT, A), (A, A)])?;
    holds(&one, B, 2.0)?;
    holds(&one, A, 9.0)?;

    let mut other = session(&device)?;
    other.carry_from(&one, &[(B, A), (A, B)])?;
    one.write(B, &[3.0; 4])?;
    holds(&other, A, 2.0)?;
    holds(&other, B, 9.0)?;

    let read = one.run(&[A, B], &[(B, A)])?;
    ensure(
        read == [vec![9.0; 4], vec![3.0; 4]],
        format!("results are read before the copies: {read:?}"),
    )?;
    holds(&one, A, 3.0)?;

    let shared = "'weight' is a weight, which runs of a model share";
    refused(one.carry(&[(A, WEIGHT)]), shared)?;
    refused(one.carry_from(&other, &[(A, WEIGHT)]), shared)?;
    refused(one.run(&[], &[(A, WEIGHT)]).map(drop), shared)?;
    refused(one.carry(&[(A, SHORT)]), "'a' holds 4 values, which 'short' of 3 cannot take over")?;
    refused(
        one.carry_from(&other, &[(SHORT, B)]),
        "'short' holds 3 values, which 'b' of 4 cannot take over",
    )?;
    if matches!(target.machine, Machine::Adapter(_)) {
        for device in [Device::cpu(), target.device()?] {
            let elsewhere = session(&device)?;
            let want = "buffers can only be carried between sessions on the same device";
            refused(one.carry_from(&elsewhere, &[(A, B)]), want)?;
        }
    }
    holds(&one, A, 3.0)
}
