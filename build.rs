//! Refuses systems that have no source, and gives the command for Windows a version that its properties
//! show, and a manifest: it is for the rights of whoever starts it, and for the versions of Windows that it
//! is named to know.

use std::env;

const NAME: &str = "network-connections";

/// [Application manifests](https://learn.microsoft.com/en-us/windows/win32/sbscs/application-manifests);
/// the id is that of Windows 10, 11 and Server 2016 or newer. It begins with no XML declaration, before
/// which nothing may stand: winresource puts a blank there.
const MANIFEST: &str = r#"<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0">
  <trustInfo xmlns="urn:schemas-microsoft-com:asm.v3">
    <security><requestedPrivileges>
      <requestedExecutionLevel level="asInvoker" uiAccess="false"/>
    </requestedPrivileges></security>
  </trustInfo>
  <compatibility xmlns="urn:schemas-microsoft-com:compatibility.v1">
    <application><supportedOS Id="{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}"/></application>
  </compatibility>
</assembly>
"#;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => {}
        Ok("windows") => resource(),
        _ => println!("cargo::error=only Linux and Windows have a source of sockets"),
    }
}

fn resource() {
    let licence = env::var("CARGO_PKG_LICENSE").unwrap_or_default();
    let mut resource = winresource::WindowsResource::new();
    resource
        .set("FileDescription", "Monitoring check of TCP and UDP connections")
        .set("LegalCopyright", &licence)
        .set("OriginalFilename", &format!("{NAME}.exe"))
        .set_manifest(MANIFEST);
    // It counts as well without, and not every compiler of resources is everywhere.
    if let Err(error) = resource.compile_for(NAME) {
        println!("cargo::warning=no version resource: {error}");
    }
}
