//! Recovers from lost GPUs: a sequence continues on the next device, and at last on the CPU.
//!
//! The application keeps the weights in host memory and saves the state of its sequence from time
//! to time. The next device continues from the last save.
//!
//! `cargo run --release --example recovery -- [DEVICE]...`: the devices in the order of their use.
//! Each is `auto` or part of an adapter's name; the CPU comes last. The example destroys each GPU
//! after a while, as if its cable had been pulled.

use wgpu_rnn::{Config, Device, Error, Params, Result, Rnn, State, Tensor};

const FRAMES: usize = 300;
/// Frames between two saves: the most that a loss makes the next device compute again.
const BETWEEN_SAVES: usize = 20;
/// Frames after which a device is lost.
const LIFE: usize = 70;

/// The data that the application keeps in host memory, where no driver can lose it.
struct Session {
    params: Params,
    frames: Vec<Tensor>,
    outputs: Vec<Tensor>,
    /// The number of frames before the save, and the state after them. No state before the first
    /// save.
    saved: (usize, Option<State>),
}

impl Session {
    fn new() -> Result<Self> {
        let config = Config::gru(40, 64).num_layers(2);
        let size = config.input_size;
        let frame = |t| {
            let values = (0..size).map(|i| ((t * size + i) as f32 * 12.9898).sin());
            Tensor::new([1, 1, size], values.collect())
        };
        let frames = (0..FRAMES).map(frame).collect::<Result<_>>()?;
        Ok(Self {
            params: Params::init(&config, 0)?,
            frames,
            outputs: Vec::new(),
            saved: (0, None),
        })
    }

    /// Continues from the last save. Calls `after_frame` with the index of each finished frame.
    fn run_on(&mut self, device: &Device, mut after_frame: impl FnMut(usize)) -> Result<()> {
        let rnn = Rnn::new(device, &self.params)?;
        let mut stream = rnn.stream(1)?;
        let (start, state) = &self.saved;
        if let Some(state) = state {
            stream.set_state(state)?;
        }
        // Outputs after the last save come again, the same within rounding.
        self.outputs.truncate(*start);
        for at in *start..FRAMES {
            self.outputs.push(stream.forward(&self.frames[at])?);
            if (at + 1) % BETWEEN_SAVES == 0 {
                self.saved = (at + 1, Some(stream.state()?));
            }
            after_frame(at);
        }
        Ok(())
    }
}

/// Runs all frames on `devices`, the next one when one is lost, and returns the outputs. Reports
/// each loss to `tell`.
///
/// # Errors
/// [`Error::NoAdapter`] when every device is lost, and any error that another device would repeat.
pub fn run(devices: &[Device], mut tell: impl FnMut(String)) -> Result<Vec<Tensor>> {
    let mut session = Session::new()?;
    for device in devices {
        let mut frames = 0;
        let outcome = session.run_on(device, |_| {
            frames += 1;
            // The CPU has nothing to destroy.
            if let (LIFE, Some((device, _))) = (frames, device.wgpu()) {
                device.destroy();
            }
        });
        match outcome {
            Ok(()) => return Ok(session.outputs),
            // Another device can continue after these errors. All others would occur there too.
            Err(
                error @ (Error::DeviceLost { .. } | Error::OutOfMemory { .. } | Error::Gpu { .. }),
            ) => {
                tell(format!(
                    "after {frames} frames: {error}; carrying on from frame {}",
                    session.saved.0
                ));
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::NoAdapter("every device is gone".to_owned()))
}

fn main() -> Result<()> {
    let mut devices = Vec::new();
    let selectors: Vec<String> = std::env::args().skip(1).collect();
    for selector in if selectors.is_empty() { vec!["auto".to_owned()] } else { selectors } {
        match Device::open(&selector) {
            Ok(device) => devices.push(device),
            // A GPU that fails the self-test is left out like one that does not exist.
            Err(error) => println!("{selector}: {error}"),
        }
    }
    devices.push(Device::cpu());
    let outputs = run(&devices, |line| println!("{line}"))?;
    let want = run(&[Device::cpu()], |line| println!("{line}"))?;
    let differences = outputs.iter().zip(&want).flat_map(|(a, b)| a.data().iter().zip(b.data()));
    let largest = differences.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{} frames, {largest:.1e} from what the CPU alone gives", outputs.len());
    Ok(())
}
