//! The choice of who polls a device.

/// The party that polls a device while a future waits. Native backends call back only when they are
/// polled.
///
/// A future also polls the device, without waiting, whenever it is polled itself. Blocking
/// functions wait by polling. Browsers poll by themselves, whatever the choice.
///
/// Wakers run on this party's thread only, never inside a call of this crate. A waker that awaits a
/// future of this crate blocks until the device is done. It must not wait for another thread that
/// awaits a future of this device: that thread waits for this one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Polling {
    /// A thread of this crate. It starts with the first future that waits, sleeps while none does,
    /// and ends with the device. On a borrowed device this thread may run the program's callbacks.
    #[default]
    Thread,
    /// The program, for example each frame, by `wgpu::Device::poll` or `wgpu::Queue::submit`. Only
    /// these calls wake a future.
    Program,
}
