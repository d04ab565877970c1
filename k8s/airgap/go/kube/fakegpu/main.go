// fakegpu is a device plugin that offers devices which are not there, so that placement on a GPU node class can be
// tested on any machine. A device plugin and not a patch of the node's status: the kubelet takes a patched resource
// back each time it starts, and it admits pods by what its plugins say.
//
// Usage: fakegpu RESOURCE COUNT, on a node, as root. It ends when the kubelet forgets it; its unit starts it again.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	plugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const socket = "podium-fakegpu.sock"

type server struct {
	plugin.UnimplementedDevicePluginServer
	devices []*plugin.Device
	done    context.Context
}

func (s server) GetDevicePluginOptions(context.Context, *plugin.Empty) (*plugin.DevicePluginOptions, error) {
	return &plugin.DevicePluginOptions{}, nil
}

func (s server) ListAndWatch(_ *plugin.Empty, stream grpc.ServerStreamingServer[plugin.ListAndWatchResponse]) error {
	if err := stream.Send(&plugin.ListAndWatchResponse{Devices: s.devices}); err != nil {
		return err
	}
	select {
	case <-s.done.Done():
	case <-stream.Context().Done():
	}
	return nil
}

func (s server) Allocate(_ context.Context, request *plugin.AllocateRequest) (*plugin.AllocateResponse, error) {
	response := &plugin.AllocateResponse{}
	for range request.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &plugin.ContainerAllocateResponse{
			Envs: map[string]string{"PODIUM_EMULATED_DEVICE": "true"},
		})
	}
	return response, nil
}

func run(done context.Context, resource string, count int) error {
	path := filepath.Join(plugin.DevicePluginPath, socket)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	served := server{done: done}
	for number := range count {
		served.devices = append(served.devices, &plugin.Device{ID: fmt.Sprintf("fake-%d", number), Health: plugin.Healthy})
	}
	answering := grpc.NewServer()
	plugin.RegisterDevicePluginServer(answering, served)
	failed := make(chan error, 1)
	go func() { failed <- answering.Serve(listener) }()
	defer answering.Stop()

	kubelet, err := grpc.NewClient("unix://"+plugin.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer kubelet.Close()
	deadline, cancel := context.WithTimeout(done, 10*time.Second)
	defer cancel()
	_, err = plugin.NewRegistrationClient(kubelet).Register(deadline, &plugin.RegisterRequest{
		Version: plugin.Version, Endpoint: socket, ResourceName: resource,
	})
	if err != nil {
		return fmt.Errorf("the kubelet did not take the registration: %w", err)
	}
	fmt.Printf("fakegpu: %d x %s\n", count, resource)
	// A kubelet that starts empties the folder of the sockets: that is how a plugin learns that it is forgotten.
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-done.Done():
			return nil
		case err := <-failed:
			return err
		case <-look.C:
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("the kubelet has started anew: %w", err)
			}
		}
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: fakegpu RESOURCE COUNT")
		os.Exit(2)
	}
	count, err := strconv.Atoi(os.Args[2])
	if err != nil || count < 1 {
		fmt.Fprintf(os.Stderr, "fakegpu: the count %q is no number above 0\n", os.Args[2])
		os.Exit(2)
	}
	done, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(done, os.Args[1], count); err != nil {
		fmt.Fprintln(os.Stderr, "fakegpu:", err)
		os.Exit(1)
	}
}
